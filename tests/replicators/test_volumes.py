"""Disks that go away or are swapped, and hands in the standby's folders: told, nothing destroyed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from hsorch.node.replication.setup import Setup
from tests.replicators.nodes import Node, pair_of, until
from tests.replicators.world import picture as ordered_picture
from tests.unit.replication.mirrors import picture

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]
FILES, TABLES = "files", "tables"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    with pair_of(tmp_path, (FILES, TABLES)) as made:
        made.bind(made.ordered(TABLES), made.watched(FILES))
        made.start()
        yield made.a, made.b


def follow(source: Node, target: Node) -> None:
    target.ask("role", role="target")
    source.ask("role", role="source")
    until(lambda: level(source, target))


def level(source: Node, target: Node) -> bool:
    seen = source.ask("status")
    return (
        source.binding(FILES)["state"] == "live"
        and seen["connected"]
        and not seen["mirroring"]
        and not seen["behind"]
        and bool(target.ask("status")["consistent"])
    )


def equal(a: Node, b: Node) -> bool:
    files = [picture(node.folders[FILES]) for node in (a, b)]
    tables = [ordered_picture(node.folders[TABLES], times=False) for node in (a, b)]
    return files[0] == files[1] and tables[0] == tables[1]


def limits(node: Node, warn: int, stop: int) -> None:
    """As from the next start on."""
    setup = msgspec.json.decode(node.places.setup.read_bytes(), type=Setup)
    setup = msgspec.structs.replace(setup, warn_bytes=warn, stop_bytes=stop)
    node.places.setup.write_bytes(msgspec.json.encode(setup))


def write(node: Node, path: str, text: str) -> None:
    """As the node's application, through the mounts."""
    script = 'printf %s "$2" > "$1"'
    done = node.run("sh", "-c", script, "sh", str(node.home / "common" / path), text)
    assert done.returncode == 0, done.stderr


def test_ordered_and_watched_folders_follow_together(pair: tuple[Node, Node]) -> None:
    a, b = pair
    (a.folders[TABLES] / "before").write_bytes(b"1" * 10_000)
    (a.folders[FILES] / "before").write_bytes(b"2" * 10_000)
    follow(a, b)
    write(a, "tables/t", "ordered")
    write(a, "files/f", "watched")
    assert a.ask("drain", limit_s=30)["ok"]
    assert equal(a, b)
    assert {x["kind"]: x["state"] for x in a.ask("status")["bindings"]} == {
        "ordered": "live",
        "watched": "live",
    }


def test_a_database_that_is_bound_file_by_file_is_warned_about(pair: tuple[Node, Node]) -> None:
    a, b = pair
    (a.folders[FILES] / "app.sqlite").write_bytes(b"1")
    (a.folders[TABLES] / "ibdata1").write_bytes(b"whole folders in order are right")
    follow(a, b)
    until(lambda: a.troubles() == {"HS635"})
    (trouble,) = a.ask("status")["troubles"]
    assert "the SQLite file app.sqlite is bound as watched" in trouble["message"]


def test_a_hand_in_the_standbys_folder_is_told_with_its_name(pair: tuple[Node, Node]) -> None:
    a, b = pair
    write_into = b.folders[TABLES]
    follow(a, b)
    assert b.troubles() == set()
    write(b, "tables/by hand", "not replicated")
    until(lambda: "HS633" in b.troubles())
    assert "tables/by hand was changed by " in b.ask("status")["verify_needed"]
    assert (write_into / "by hand").exists()
    a.kill()
    b.kill()
    b.start()
    b.ask("role", role="target")
    assert "HS633" in b.troubles(), "a restart does not forget it"
    a.start()
    a.ask("role", role="source")
    until(lambda: level(a, b))
    a.ask("verify")
    until(lambda: b.troubles() == set())
    assert equal(a, b), "both were compared, and the standby's copy repaired"


def test_the_source_is_told_to_stop_before_the_standbys_disk_is_full(pair: tuple[Node, Node]) -> None:
    a, b = pair
    follow(a, b)
    b.kill()
    limits(b, 1 << 60, 1 << 59)
    b.start()
    b.ask("role", role="target")
    until(lambda: "HS632" in b.troubles())
    assert b.ask("status")["space"] == "stop"
    until(lambda: "free space on b" in a.ask("status")["state"])
    write(a, "tables/meanwhile", "the application goes on")
    b.kill()
    limits(b, 2, 1)
    b.start()
    b.ask("role", role="target")
    until(lambda: equal(a, b))


def test_a_source_without_space_notes_places_only_and_copies_them_later(
    tmp_path: Path, pair: tuple[Node, Node]
) -> None:
    a, b = pair
    follow(a, b)
    a.kill()
    limits(a, 1 << 60, 1 << 59)
    a.start()
    a.ask("role", role="source")
    until(lambda: "free space on a" in a.ask("status")["state"])
    assert "HS632" in a.troubles()
    before = a.ask("status")["lsn"]
    write(a, "tables/large", "x" * 100_000)
    assert a.ask("status")["behind"]
    assert a.ask("status")["lsn"] - before < 20_000, "the data are not in the journal, too"
    until(lambda: not a.ask("status")["connected"])
    a.kill()
    limits(a, 2, 1)
    a.start()
    a.ask("role", role="source")
    until(lambda: level(a, b))
    assert a.ask("drain", limit_s=30)["ok"]
    assert equal(a, b)


def test_a_disk_that_is_swapped_on_the_standby_is_left_alone(tmp_path: Path, pair: tuple[Node, Node]) -> None:
    a, b = pair
    (a.folders[FILES] / "f").write_bytes(b"1")
    follow(a, b)
    common = str(tmp_path / "common" / FILES)
    done = b.run("mount", "-t", "tmpfs", "tmpfs", common)
    assert done.returncode == 0, done.stderr
    until(lambda: "HS674" in b.troubles())
    assert b.ask("status")["role"] == "none"
    assert b.request("role", role="target")["code"] == "HS674"
    assert b.run("ls", "-A", common).stdout == ""
    assert (b.folders[FILES] / "f").read_bytes() == b"1"
    b.run("umount", common)
    b.ask("role", role="target")
    until(lambda: level(a, b))
    assert b.troubles() == set()


@pytest.mark.parametrize("folder", [FILES, TABLES])
@pytest.mark.parametrize("way", ["another lies there", "nothing lies there"])
def test_a_folder_that_the_standby_loses_midway_is_taken_up_again(
    tmp_path: Path, pair: tuple[Node, Node], folder: str, way: str
) -> None:
    """The stream runs on at the active, and the standby writes into nothing that it finds there instead."""
    a, b = pair
    (a.folders[folder] / "before").write_bytes(b"1")
    follow(a, b)
    common = tmp_path / "common"
    there = common if way == "nothing lies there" else common / folder
    lose = ["mount", "-t", "tmpfs", "tmpfs"] if there == common else ["umount", "-l"]
    assert b.run(*lose, str(there)).returncode == 0
    write(a, f"{folder}/meanwhile", "the application goes on")
    until(lambda: "HS674" in b.troubles())
    (told,) = [t["message"] for t in b.ask("status")["troubles"] if t["code"] == "HS674"]
    assert str(common) in told
    write(a, f"{folder}/later", "and on")
    assert b.request("role", role="target")["code"] == "HS674"
    assert b.run("ls", "-A", str(there)).stdout == "", "nothing is written in its place"
    back = ["umount"] if there == common else ["mount", "--bind", str(b.folders[folder])]
    assert b.run(*back, str(there)).returncode == 0
    b.ask("role", role="target")  # as its agent asks all the while
    until(lambda: level(a, b) and equal(a, b))
    assert (b.folders[folder] / "later").read_bytes() == b"and on"
    assert b.troubles() == set()


@pytest.mark.parametrize("folder", [FILES, TABLES])
def test_an_actives_disk_that_turns_read_only_is_told(tmp_path: Path, folder: str) -> None:
    """As a file system does by itself that met an error. Both nodes stay equal, and go on once it is back."""
    with pair_of(tmp_path, (FILES, TABLES)) as made:
        a, b = made.a, made.b
        made.bind(made.ordered(TABLES), made.watched(FILES), warn_bytes=2, stop_bytes=1)
        own = str(a.folders[folder])
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", own], check=True)
        try:
            made.start()
            follow(a, b)
            write(a, f"{folder}/before", "1")
            until(lambda: equal(a, b))
            subprocess.run(["mount", "-o", "remount,ro", own], check=True)
            until(lambda: "HS641" in a.troubles())
            (told,) = [t["message"] for t in a.ask("status")["troubles"] if t["code"] == "HS641"]
            assert str(tmp_path / "common" / folder) in told
            for deed in ("echo 2 > new", "mkdir new", "mv before new", "rm -f before"):
                script = f"cd {tmp_path}/common/{folder} && {deed}"
                assert "Read-only" in a.run("sh", "-c", script).stderr, "the application is told, too"
            assert a.ask("drain", limit_s=30)["ok"]
            assert equal(a, b)
            subprocess.run(["mount", "-o", "remount,rw", own], check=True)
            until(lambda: a.troubles() == set())
            write(a, f"{folder}/after", "3")
            until(lambda: level(a, b) and equal(a, b))
        finally:
            a.end()
            subprocess.run(["umount", "-l", own], check=True)


def test_a_new_disk_is_filled_once_an_operator_chose_the_other_side(
    tmp_path: Path, pair: tuple[Node, Node]
) -> None:
    a, b = pair
    (a.folders[TABLES] / "t").write_bytes(b"1" * 5_000)
    (a.folders[FILES] / "f").write_bytes(b"2" * 5_000)
    follow(a, b)
    for name in (TABLES, FILES):
        assert b.run("mount", "-t", "tmpfs", "tmpfs", str(tmp_path / "common" / name)).returncode == 0
    until(lambda: "HS674" in b.troubles())
    winner = a.ask("choose")["lineage"]
    b.ask("choose", winner=winner)
    b.ask("role", role="target")
    until(lambda: level(a, b))
    for path in ("tables/t", "files/f"):
        assert len(b.run("cat", str(tmp_path / "common" / path)).stdout) == 5_000


def test_an_empty_disk_is_no_source(tmp_path: Path, pair: tuple[Node, Node]) -> None:
    a, b = pair
    (a.folders[TABLES] / "t").write_bytes(b"1")
    follow(a, b)
    a.ask("role", role="none")
    common = str(tmp_path / "common" / TABLES)
    assert a.run("mount", "-t", "tmpfs", "tmpfs", common).returncode == 0
    refused = a.request("role", role="source")
    assert (refused["ok"], refused["code"]) == (False, "HS674")
    assert (b.folders[TABLES] / "t").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [
        ("rm -r {0}; mkdir {1}/hidden; mount --bind {1}/hidden {1}", "HS674", "No such file"),
        ("mount -t ramfs ramfs {0}", "HS682", "extended attributes"),
    ],
)
def test_a_folder_that_cannot_be_bound_is_named(
    tmp_path: Path, pair: tuple[Node, Node], spoil: str, code: str, says: str
) -> None:
    a, _ = pair
    folder = tmp_path / "common" / TABLES
    done = a.run("sh", "-c", spoil.format(folder, tmp_path / "common"))
    refused = a.request("role", role="source")
    assert (refused["ok"], refused["code"]) == (False, code), done.stderr
    assert str(folder) in refused["message"]
    assert says in refused["message"] + refused["hint"]
    assert a.ask("status")["role"] == "none"


def test_a_program_that_writes_there_keeps_the_node_from_following(pair: tuple[Node, Node]) -> None:
    _, b = pair
    held = str(b.home / "common" / TABLES / "held")
    assert b.process is not None
    script = 'exec 3> "$1"; echo; exec sleep 60'
    inside = ["nsenter", "--mount", "-t", str(b.process.pid), "sh", "-c", script, "sh", held]
    holder = subprocess.Popen(inside, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        refused = b.request("role", role="target")
        assert refused["code"] == "HS630"
        assert f"(pid {holder.pid}) holds {held}" in refused["message"]
    finally:
        holder.kill()
        holder.wait()
    assert os.path.lexists(b.folders[TABLES] / "held")
    b.ask("role", role="target")
