"""Folders that are not what was bound, nodes that cannot mount, peers from elsewhere: told by a code with a
way out, nothing overwritten, and the next try goes on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.setup import Setup
from tests.replicators.nodes import Node, kept, until
from tests.replicators.test_volumes import FILES, TABLES, equal, follow, level, pair, write

__all__ = ["pair"]
pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]
NO_DEVICE = "mount -t tmpfs tmpfs /dev && mknod /dev/null c 1 3 && mknod /dev/urandom c 1 9"
REFUSED = "mount --bind /dev/null /dev/fuse"
NO_LIBRARY = "mount --bind /dev/null $(readlink -f $(ldconfig -p | awk '/libfuse3/ {print $NF; exit}'))"
NO_HELPER = "mount --bind /dev/null $(command -v fusermount3)"


def inside(node: Node, script: str) -> None:
    """In the node's own mount namespace."""
    done = node.run("sh", "-ec", script)
    assert done.returncode == 0, done.stderr


def place(node: Node, folder: str) -> Path:
    return node.home / "common" / folder


def refusal(node: Node, code: str, role: str = "source", **more: object) -> str:
    """The words with which a role is refused: there is a way out, and the node plays no role."""
    refused = node.request("role", role=role, **more)
    assert (refused["ok"], refused["code"]) == (False, code), refused
    assert refused["hint"]
    seen = node.ask("status")
    assert seen["role"] == "none"
    assert code in {trouble["code"] for trouble in seen["troubles"]}
    return str(refused["message"])


def contents(node: Node) -> dict[str, bytes]:
    """Of its own folders, whatever lies over them."""
    return {
        os.path.relpath(path, node.root): path.read_bytes()
        for folder in node.folders.values()
        for path in folder.rglob("*")
        if path.is_file() and ".hsorch-staging" not in path.parts
    }


# --------------------------------------------------------------------------- paths


@pytest.mark.parametrize("folder", [TABLES, FILES])
@pytest.mark.parametrize("role", ["source", "target"])
def test_a_file_where_a_folder_is_bound_is_left_as_it_is(
    pair: tuple[Node, Node], tmp_path: Path, folder: str, role: str
) -> None:
    a, _ = pair
    (tmp_path / "file").write_bytes(b"somebody's file")
    bound = place(a, folder)
    inside(a, f"umount {bound}; mount --bind {tmp_path / 'common'} /mnt; rmdir /mnt/{folder}; umount /mnt")
    bound.write_bytes(b"somebody's file")
    try:
        assert f"{bound} cannot be read: it is no folder" in refusal(a, "HS674", role)
        assert bound.read_bytes() == b"somebody's file"
    finally:
        bound.unlink()
    bound.mkdir()
    inside(a, f"mount --bind {a.folders[folder]} {bound}")
    a.ask("role", role=role)


@pytest.mark.parametrize("folder", [TABLES, FILES])
def test_a_link_is_not_followed_to_another_folder(pair: tuple[Node, Node], folder: str) -> None:
    """Else a link to the root would bind the whole drive."""
    a, _ = pair
    bound = place(a, folder)
    bindings = tuple(
        Binding(path=f"{bound}-link", kind=b.kind) if b.path == str(bound) else b
        for b in msgspec.json.decode(a.places.setup.read_bytes(), type=Setup).bindings
    )
    Path(f"{bound}-link").symlink_to("/")
    setup = msgspec.json.decode(a.places.setup.read_bytes(), type=Setup)
    a.places.setup.write_bytes(msgspec.json.encode(msgspec.structs.replace(setup, bindings=bindings)))
    said = refusal(a, "HS682")
    assert f"{bound}-link leads to /, through a symbolic link" in said
    ours = [line for line in a.run("cat", "/proc/mounts").stdout.splitlines() if "fuse.hsorch" in line]
    assert not [line for line in ours if str(a.home) in line or " / " in line], "no mount is left behind"
    refusal(a, "HS682", "target")


@pytest.mark.parametrize("folder", [TABLES, FILES])
def test_an_empty_folder_made_in_place_of_the_lost_one_empties_nobody(
    pair: tuple[Node, Node], folder: str
) -> None:
    """The disk is the same one, so only the folder itself can tell."""
    a, b = pair
    (a.folders[folder] / "table").write_bytes(b"precious" * 1_000)
    follow(a, b)
    before = contents(b)
    a.kill()
    own = a.folders[folder]
    own.rename(own.with_name("moved"))
    own.mkdir()
    a.start()
    assert "was made anew" in refusal(a, "HS674")
    assert contents(b) == before
    own.rmdir()
    own.with_name("moved").rename(own)
    a.kill()
    a.start()
    a.ask("role", role="source")
    until(lambda: level(a, b))
    assert contents(b) == before


def test_a_standby_whose_folder_was_made_anew_is_filled_once_an_operator_says_so(
    pair: tuple[Node, Node],
) -> None:
    a, b = pair
    (a.folders[TABLES] / "table").write_bytes(b"precious" * 1_000)
    follow(a, b)
    b.kill()
    own = b.folders[TABLES]
    own.rename(own.with_name("moved"))
    own.mkdir()
    b.start()
    assert "was made anew" in refusal(b, "HS674", "target")
    b.ask("choose", winner=a.ask("choose")["lineage"])
    b.ask("role", role="target")
    until(lambda: level(a, b))
    assert equal(a, b)


def test_what_stood_on_the_standby_is_kept_before_an_ordered_folder_is_filled(
    pair: tuple[Node, Node],
) -> None:
    a, b = pair
    (a.folders[TABLES] / "table").write_bytes(b"the right one")
    (b.folders[TABLES] / "table").write_bytes(b"another one")
    (b.folders[TABLES] / "only here").write_bytes(b"nobody else has this")
    follow(a, b)
    assert equal(a, b)
    assert kept(b) == {b"another one", b"nobody else has this"}


# ---------------------------------------------------------- file systems below a bound one


@pytest.mark.parametrize("folder", [TABLES, FILES])
@pytest.mark.parametrize("role", ["source", "target"])
def test_another_file_system_below_a_bound_folder_is_named(
    pair: tuple[Node, Node], folder: str, role: str
) -> None:
    a, _ = pair
    (a.folders[folder] / "sub dir").mkdir()
    inner = place(a, folder) / "sub dir"
    inside(a, f"mount -t tmpfs tmpfs '{inner}'; echo 1 > '{inner}/of another disk'")
    assert f"(tmpfs) is mounted at {inner}" in refusal(a, "HS697", role)
    inside(a, f"umount '{inner}'")
    a.ask("role", role=role)


def test_a_file_system_that_the_binding_leaves_out_is_no_obstacle(pair: tuple[Node, Node]) -> None:
    a, b = pair
    for node in (a, b):
        setup = msgspec.json.decode(node.places.setup.read_bytes(), type=Setup)
        bindings = tuple(
            msgspec.structs.replace(b, exclude=("./scratch", "scratch/**")) for b in setup.bindings
        )
        node.places.setup.write_bytes(msgspec.json.encode(msgspec.structs.replace(setup, bindings=bindings)))
    for folder in (TABLES, FILES):
        (a.folders[folder] / "scratch").mkdir()
        inside(a, f"mount -t tmpfs tmpfs {place(a, folder)}/scratch")
    follow(a, b)
    write(a, "tables/scratch/tmp", "of this machine only")
    write(a, "tables/t", "1")
    assert a.ask("drain", limit_s=30)["ok"]
    assert contents(b) == {"tables/t": b"1"}


def test_a_file_system_that_is_mounted_while_it_runs_is_told_and_its_end_empties_nobody(
    pair: tuple[Node, Node],
) -> None:
    a, b = pair
    for folder in (TABLES, FILES):
        (a.folders[folder] / "sub").mkdir()
        (a.folders[folder] / "sub" / "file").write_bytes(b"below")
    follow(a, b)
    before = contents(b)
    for folder in (TABLES, FILES):
        inside(a, f"mount -t tmpfs tmpfs {place(a, folder)}/sub")
        until(lambda: "HS697" in a.troubles())
        inside(a, f"umount {place(a, folder)}/sub")
        until(lambda: "HS697" not in a.troubles())
    until(lambda: level(a, b))
    a.ask("verify")
    until(lambda: a.ask("status").get("verified_ns", 0) > 0)
    assert contents(b) == before

    inside(b, f"mount -t tmpfs tmpfs {place(b, TABLES)}/sub")
    until(lambda: "HS697" in b.troubles())
    assert b.ask("status")["role"] == "none"
    write(a, "tables/sub/new", "while the standby is away")
    inside(b, f"umount {place(b, TABLES)}/sub")
    b.ask("role", role="target")
    until(lambda: level(a, b))
    assert equal(a, b)


# ---------------------------------------------------------------------------- mounting


@pytest.mark.parametrize("spoil", [NO_DEVICE, REFUSED, NO_LIBRARY])
def test_a_node_that_cannot_mount_is_no_source_and_its_folder_stays_bare(
    pair: tuple[Node, Node], spoil: str
) -> None:
    a, _ = pair
    (a.folders[TABLES] / "table").write_bytes(b"untouched")
    inside(a, spoil)
    refusal(a, "HS683")
    assert not a.ask("status")["generation"], "nothing was begun"
    assert contents(a) == {"tables/table": b"untouched"}


def test_a_node_without_the_helper_program_mounts_all_the_same(pair: tuple[Node, Node]) -> None:
    a, b = pair
    inside(a, NO_HELPER)
    follow(a, b)
    write(a, "tables/t", "1")
    assert a.ask("drain", limit_s=30)["ok"]
    assert equal(a, b)
    a.ask("role", role="none")


def test_a_standby_that_cannot_mount_says_so_before_it_is_needed_and_takes_nothing_over(
    pair: tuple[Node, Node],
) -> None:
    a, b = pair
    (a.folders[TABLES] / "table").write_bytes(b"1" * 50_000)
    inside(b, REFUSED)
    follow(a, b)
    until(lambda: b.ask("status").get("fault_code") == "HS683" and bool(b.ask("status").get("fault")))
    before = b.ask("status")["generation"]
    a.kill()
    refusal(b, "HS683", alone=True)
    assert b.ask("status")["generation"] == before, "no data of its own, so the other node's still count"
    a.start()
    b.ask("role", role="target")
    a.ask("role", role="source")
    until(lambda: level(a, b))
    assert a.ask("status")["copied"] == 0

    inside(b, "umount /dev/fuse")
    until(lambda: not b.ask("status").get("fault"))
    a.kill()
    assert b.ask("role", role="source", alone=True)["mounted"]


def test_who_gave_the_group_to_a_node_that_cannot_mount_takes_it_back(pair: tuple[Node, Node]) -> None:
    """Nobody else has written since: the watched folders, too, are whole without a mirror."""
    a, b = pair
    (a.folders[FILES] / "cat").write_bytes(b"meow")
    follow(a, b)
    assert a.ask("drain", limit_s=30)["ok"]
    a.ask("role", role="none")
    a.ask("role", role="target")
    inside(b, REFUSED)
    refusal(b, "HS683")
    b.ask("role", role="target")
    assert a.ask("status")["consistent"]
    a.ask("role", role="source")
    until(lambda: level(a, b))
    assert equal(a, b)


# ------------------------------------------------------------------ peers from elsewhere


def test_a_peer_of_another_group_gets_nothing(pair: tuple[Node, Node]) -> None:
    a, b = pair
    (a.folders[TABLES] / "table").write_bytes(b"1")
    (a.folders[FILES] / "file").write_bytes(b"1")
    (b.folders[TABLES] / "table").write_bytes(b"of another group")
    setup = msgspec.json.decode(b.places.setup.read_bytes(), type=Setup)
    b.places.setup.write_bytes(msgspec.json.encode(msgspec.structs.replace(setup, job="cd" * 16)))
    b.ask("role", role="target")
    a.ask("role", role="source")
    until(lambda: "belongs to another group" in a.ask("status")["state"])
    until(lambda: "belongs to another group" in a.binding(FILES).get("detail", ""))
    assert not b.ask("status")["consistent"]
    assert contents(b) == {"tables/table": b"of another group"}


def test_a_state_that_was_copied_from_another_pair_is_no_state_of_this_one(pair: tuple[Node, Node]) -> None:
    """Nothing of it is touched before an operator says whose data count."""
    a, b = pair
    (a.folders[TABLES] / "table").write_bytes(b"1")
    follow(a, b)
    a.ask("role", role="none")
    b.ask("role", role="none")
    for node in (a, b):
        setup = msgspec.json.decode(node.places.setup.read_bytes(), type=Setup)
        node.places.setup.write_bytes(msgspec.json.encode(msgspec.structs.replace(setup, job="cd" * 16)))
        node.kill()
        node.start()
    before = {path.name: path.read_bytes() for path in a.places.journal.iterdir()}
    assert "belongs to another group" in a.ask("status")["fault"]
    refusal(a, "HS639")
    refusal(b, "HS639", "target")
    assert {path.name: path.read_bytes() for path in a.places.journal.iterdir()} == before
    b.ask("choose", winner=a.ask("choose")["lineage"])
    follow(a, b)
    assert equal(a, b)


def test_a_peer_of_another_origin_waits_for_an_operator(pair: tuple[Node, Node]) -> None:
    """Both began by themselves: neither is a copy of the other one."""
    a, b = pair
    for node in (a, b):
        (node.folders[TABLES] / "table").write_bytes(node.name.encode())
        (node.folders[FILES] / "file").write_bytes(node.name.encode())
        node.ask("role", role="source", alone=True)
        node.ask("role", role="none")
    b.ask("role", role="target", asked=True)
    a.ask("role", role="source")
    until(lambda: a.ask("status").get("refused") == "HS691")
    until(lambda: "HS691" in a.troubles(), 10)
    assert contents(b) == {"tables/table": b"b", "files/file": b"b"}
    b.ask("choose", winner=a.ask("choose")["lineage"])
    until(lambda: level(a, b))
    assert equal(a, b)
    assert kept(b) == {b"b"}


def test_what_another_program_holds_on_the_source_is_not_mounted_over(pair: tuple[Node, Node]) -> None:
    a, _ = pair
    held = str(place(a, TABLES) / "held")
    assert a.process is not None
    script = 'exec 3> "$1"; echo; exec sleep 60'
    argv = ["nsenter", "--mount", "-t", str(a.process.pid), "sh", "-c", script, "sh", held]
    holder = subprocess.Popen(argv, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert held in refusal(a, "HS630")
    finally:
        holder.kill()
        holder.wait()
    a.ask("role", role="source")
