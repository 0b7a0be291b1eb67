"""Many files are gone at the source: a slip, or a formatted disk. The other node keeps them until told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.test_data_links import DATA
from tests.lab.world import Pair, applied, hsorch, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]
FILES = 300
NOTES = 40


@pytest.fixture
def pair(lab_allowed: None, tmp_path: Path) -> Iterator[Pair]:
    yield from applied(tmp_path, lambda text: text + DATA)


def codes(pair: Pair, node: str) -> set[str]:
    report = pair.status(node)
    assert report is not None
    return {limit.code for limit in report.limits}


def pictures(pair: Pair, node: str) -> int:
    return len(pair.exec(node, "ls", "/srv/pictures").stdout.split())


def test_deletions_beyond_reason_reach_the_standby_by_an_operators_word_only(pair: Pair) -> None:
    source = pair.active
    standby = pair.other(source)
    script = f"for n in $(seq {FILES}); do echo $n > /srv/pictures/$n; done"
    pair.exec(source, "sh", "-c", script)
    until("all pictures are there", lambda: pictures(pair, standby) >= FILES, 40)

    pair.exec(source, "sh", "-c", "rm /srv/pictures/*")
    until("they are held back", lambda: "HS634" in codes(pair, source), 40)
    assert pictures(pair, standby) > FILES / 2
    assert pair.active == source, "the application goes on"

    refused = hsorch("release-deletions", str(pair.manifest), check=False)
    assert refused.returncode != 0, "not without the cluster's name"
    assert pictures(pair, standby) > FILES / 2
    hsorch("release-deletions", str(pair.manifest), "--confirm", pair.cluster)
    until("they are gone there, too", lambda: pictures(pair, standby) == 0, 60)
    until("the alarm is over", lambda: "HS634" not in codes(pair, source), 40)


def test_a_disk_that_is_gone_empties_nobody(pair: Pair) -> None:
    """Another one lies where the pictures were."""
    source = pair.active
    standby = pair.other(source)
    pair.exec(source, "sh", "-c", "echo meow > /srv/pictures/cat; echo 1 > /srv/app/note")
    for file in ("/srv/pictures/cat", "/srv/app/note"):
        until(f"{file} arrives", lambda file=file: pair.exec(standby, "cat", file).stdout != "", 40)

    pair.exec(source, "mount", "-t", "tmpfs", "tmpfs", "/srv/pictures")
    until("it is told", lambda: "HS674" in codes(pair, source), 40)
    assert pair.exec(standby, "cat", "/srv/pictures/cat").stdout == "meow\n"
    pair.exec(source, "umount", "/srv/pictures")
    until("it goes on by itself", lambda: "HS674" not in codes(pair, source), 40)


@pytest.fixture
def emptied(pair: Pair) -> Pair:
    """Somebody removed what lay in the ordered folder of the active node while the group was out."""
    source, standby = pair.active, pair.other(pair.active)
    pair.exec(source, "sh", "-c", f"for n in $(seq {NOTES}); do echo $n > /srv/app/note-$n; done")
    until("all notes are there", lambda: notes(pair, standby) == NOTES, 40)
    hsorch("bring-out", str(pair.manifest), "--yes")
    pair.exec(source, "sh", "-c", "rm /srv/app/note-*")
    hsorch("bring-in", str(pair.manifest), "--yes")
    pair.wait_protected(60)
    assert pair.active == source
    asked = hsorch("verify", str(pair.manifest), check=False)
    assert f"{NOTES} files of /srv/app are gone on {source}" in asked.stderr
    assert "HS634" in codes(pair, source)
    assert notes(pair, standby) == NOTES
    return pair


def notes(pair: Pair, node: str) -> int:
    return len(pair.exec(node, "sh", "-c", "ls /srv/app/note-*").stdout.split())


def test_what_was_meant_to_be_gone_from_an_ordered_folder_goes_by_an_operators_word(emptied: Pair) -> None:
    hsorch("release-deletions", str(emptied.manifest), "--confirm", emptied.cluster)
    until("they are gone there, too", lambda: notes(emptied, emptied.other(emptied.active)) == 0, 60)
    until("the alarm is over", lambda: "HS634" not in codes(emptied, emptied.active), 40)
    emptied.wait_protected(60)


def test_what_was_not_meant_to_be_gone_is_served_by_the_node_that_has_it(emptied: Pair) -> None:
    source, standby = emptied.active, emptied.other(emptied.active)
    hsorch("bring-out", str(emptied.manifest), "--yes")
    hsorch("set-active", standby, str(emptied.manifest), "--yes")
    hsorch("select-source", standby, str(emptied.manifest), "--confirm", emptied.cluster)
    hsorch("bring-in", str(emptied.manifest), "--yes")
    emptied.wait_protected(60)
    assert emptied.active == standby
    assert notes(emptied, source) == NOTES
