"""The manifest changes what is replicated, or who may be overwritten: from the plan's words to the data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.errors import ExitCode
from tests.lab.world import Pair, applied, hsorch, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

DATA = """
replication:
  ordered: [{path: /srv/app, exclude: ['*-shm']}]
  watched: [/srv/pictures]
  free_space: {warn: 64MiB, stop: 32MiB}
"""


@pytest.fixture
def pair(lab_allowed: None, tmp_path: Path) -> Iterator[Pair]:
    """The example under `logical`, with its data under replication."""
    yield from applied(tmp_path, lambda text: text + DATA, protected_within_s=90)


def rewrite(pair: Pair, old: str, new: str) -> None:
    text = pair.manifest.read_text()
    assert old in text
    pair.manifest.write_text(text.replace(old, new))


def put(pair: Pair, node: str, path: str, text: str) -> None:
    done = pair.exec(node, "sh", "-c", 'mkdir -p "$(dirname "$1")" && echo "$2" > "$1"', "-", path, text)
    assert done.returncode == 0, done.stderr


def read(pair: Pair, node: str, path: str) -> str:
    return pair.exec(node, "cat", path).stdout.strip()


def kept(pair: Pair, node: str) -> list[str]:
    """Paths in its quarantine."""
    listed = json.loads(hsorch("quarantine", "list", str(pair.manifest), "--format", "json").stdout)
    found = []
    for incident in listed["nodes"][node]:
        name = incident["incident"]
        shown = hsorch("quarantine", "show", name, str(pair.manifest), "--node", node, "--format", "json")
        found += [file["path"] for file in json.loads(shown.stdout)["listed"]]
    return found


def apply(pair: Pair, *approval: str, check: bool = True) -> str:
    done = hsorch("apply", str(pair.manifest), *approval, check=check)
    return done.stdout + done.stderr


def test_folders_come_go_and_change_their_kind_by_the_manifest(pair: Pair) -> None:
    put(pair, "node-a", "/srv/pictures/cat", "meow")
    rewrite(pair, "watched: [/srv/pictures]", "watched: [/srv/docs]")
    rewrite(pair, "ordered: [{", "ordered: [/srv/pictures, {")
    refused = apply(pair, "--confirm", pair.cluster, check=False)
    assert "HS437" in refused
    assert pair.active == "node-a", "a folder that is not there costs no outage"

    put(pair, "node-a", "/srv/docs/plan", "of a")
    put(pair, "node-b", "/srv/docs/plan", "of b")
    for node in ("node-a", "node-b"):  # as an installer leaves them, and two files of one moment
        assert pair.exec(node, "touch", "-d", "@1700000000", "/srv/docs/plan").returncode == 0
    said = hsorch("plan", str(pair.manifest)).stdout
    assert "Data: node-a -> node-b" in said
    assert "Outage: the group app" in said
    assert hsorch("apply", str(pair.manifest), "--yes", check=False).returncode == ExitCode.REFUSED
    apply(pair, "--confirm", pair.cluster)
    pair.wait_protected(90)
    assert (read(pair, "node-b", "/srv/docs/plan"), read(pair, "node-b", "/srv/pictures/cat")) == (
        "of a",
        "meow",
    )
    assert kept(pair, "node-b") == ["/srv/docs/plan"]

    rewrite(pair, "  watched: [/srv/docs]\n", "")
    assert "stays on both nodes" in hsorch("plan", str(pair.manifest)).stdout
    apply(pair, "--yes", "--allow-outage")
    pair.wait_protected(90)
    put(pair, "node-a", "/srv/docs/plan", "of nobody else")
    put(pair, "node-a", "/srv/pictures/cat", "purr")
    hsorch("switch", str(pair.manifest), "--yes")
    pair.wait_protected(90)
    assert (read(pair, "node-b", "/srv/docs/plan"), read(pair, "node-b", "/srv/pictures/cat")) == (
        "of a",
        "purr",
    )


def test_replication_ends_and_begins_again_with_no_memory_of_before(pair: Pair) -> None:
    without = pair.manifest.read_text().replace(DATA, "")
    with_data = pair.manifest.read_text()
    pair.manifest.write_text(without)
    apply(pair, "--yes", "--allow-outage")
    pair.wait_protected(90)
    hsorch("switch", str(pair.manifest), "--yes")
    pair.wait_active("node-b")
    put(pair, "node-b", "/srv/pictures/cat", "written alone")
    pair.manifest.write_text(with_data)
    said = hsorch("plan", str(pair.manifest)).stdout
    assert "Data: node-b -> node-a" in said
    apply(pair, "--confirm", pair.cluster)
    pair.wait_protected(90)
    assert read(pair, "node-a", "/srv/pictures/cat") == "written alone"


def test_who_was_active_waits_for_a_word_and_the_policy_can_give_it_once_for_all(pair: Pair) -> None:
    pair.fault("crash", "node-a")
    pair.wait_active("node-b")
    pair.heal()
    until("node-a waits", lambda: "HS637" in hsorch("explain", str(pair.manifest), check=False).stdout, 60)
    assert "HS637" in hsorch("status", str(pair.manifest), check=False).stdout
    looked = json.loads(hsorch("resync", str(pair.manifest), "--survey", "--format", "json").stdout)
    assert looked["waits"] == "node-a"
    assert hsorch("resync", str(pair.manifest), check=False).returncode == ExitCode.REFUSED
    hsorch("resync", str(pair.manifest), "--confirm", pair.cluster)
    pair.wait_protected(90)
    assert "HS944" in hsorch("resync", str(pair.manifest), check=False).stderr

    rewrite(pair, "policy:\n", "policy:\n  reverse_replication: true\n")
    asked = hsorch("apply", str(pair.manifest), "--yes", "--allow-outage", check=False)
    assert asked.returncode == ExitCode.REFUSED
    assert "nobody is asked first" in asked.stderr
    apply(pair, "--confirm", pair.cluster)
    pair.wait_protected(90)
    active = pair.active
    pair.fault("crash", active)
    pair.wait_active(pair.other(active))
    pair.heal()
    pair.wait_protected(90)
