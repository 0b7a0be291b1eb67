"""What a resync would destroy is kept, listed, given back, and dropped only when an operator says so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.errors import NodeError
from hsorch.node.replication.quarantine import MANIFEST, About, Quarantine, QuarantineFull, limit_of
from hsorch.node.replication.tls import Keys
from tests.unit.replication.mirrors import Trees

ABOUT = About(incident="20260101-1", time="2026-01-01T00:00:00.000Z", reason="takeover", generation=7, fork=9)
MIB = 1 << 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    return Quarantine(tmp_path / "quarantine", 10 * MIB)


def test_a_kept_file_comes_back_as_it_was(quarantine: Quarantine, root: Path, tmp_path: Path) -> None:
    path = root / os.fsdecode(b"name \xff")
    path.write_bytes(os.urandom(3 * MIB + 1))
    path.chmod(0o640)
    os.setxattr(path, "user.note", b"n")
    os.utime(path, ns=(1, 1_700_000_000_000_000_001))
    (root / "link").symlink_to("away")
    incident = quarantine.open(ABOUT)
    for name in (path.name, "link"):
        incident.keep(str(root), name)
    before = path.read_bytes()
    path.write_bytes(b"overwritten by the resync")
    restored = quarantine.restore(ABOUT.incident, tmp_path / "back")
    assert restored[0].read_bytes() == before
    assert restored[0].stat().st_mode & 0o777 == 0o640
    assert restored[0].stat().st_mtime_ns == 1_700_000_000_000_000_001
    assert os.getxattr(restored[0], "user.note") == b"n"
    assert restored[1].readlink() == Path("away")
    (found,) = quarantine.incidents()
    assert (found.files, found.about) == (2, ABOUT)


def test_only_the_first_content_counts(quarantine: Quarantine, root: Path, tmp_path: Path) -> None:
    """A resync that was interrupted keeps nothing of its own doing."""
    (root / "f").write_bytes(b"ours")
    quarantine.open(ABOUT).keep(str(root), "f")
    (root / "f").write_bytes(b"half resynced")
    quarantine.open(ABOUT).keep(str(root), "f")
    (restored,) = quarantine.restore(ABOUT.incident, tmp_path / "back")
    assert restored.read_bytes() == b"ours"


def test_full_means_stop(quarantine: Quarantine, root: Path) -> None:
    incident = quarantine.open(ABOUT)
    for n in range(3):
        (root / f"{n}").write_bytes(os.urandom(4 * MIB))
    incident.keep(str(root), "0")
    incident.keep(str(root), "1")
    with pytest.raises(QuarantineFull, match="no room"):
        incident.keep(str(root), "2")
    assert len(quarantine.listing(ABOUT.incident)) == 2
    again = quarantine.open(ABOUT)
    with pytest.raises(QuarantineFull):
        again.keep(str(root), "2")
    incident.close()
    again.close()
    quarantine.drop(ABOUT.incident)
    quarantine.open(ABOUT).keep(str(root), "2")


def test_a_manifest_torn_by_a_crash_goes_on(quarantine: Quarantine, root: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (root / name).write_bytes(name.encode())
    incident = quarantine.open(ABOUT)
    incident.keep(str(root), "a")
    incident.keep(str(root), "b")
    manifest = tmp_path / "quarantine" / ABOUT.incident / MANIFEST
    manifest.write_bytes(manifest.read_bytes()[:-9])
    assert [kept.path for kept in quarantine.listing(ABOUT.incident)] == [b"a"]
    again = quarantine.open(ABOUT)
    again.keep(str(root), "b")
    again.keep(str(root), "c")
    assert [kept.path for kept in quarantine.listing(ABOUT.incident)] == [b"a", b"b", b"c"]


@pytest.mark.parametrize("there", ["a file", "a folder that is not empty", "a link to an empty folder"])
def test_restore_takes_a_new_or_empty_folder_only(
    there: str, quarantine: Quarantine, root: Path, tmp_path: Path
) -> None:
    (root / "f").write_bytes(b"x")
    quarantine.open(ABOUT).keep(str(root), "f")
    target, empty = tmp_path / "back", tmp_path / "empty"
    empty.mkdir()
    if there == "a file":
        target.write_text("mine")
    elif there == "a link to an empty folder":
        target.symlink_to(empty)
    else:
        (target / "inner").mkdir(parents=True)
    with pytest.raises(NodeError) as caught:
        quarantine.restore(ABOUT.incident, target)
    assert caught.value.code == "HS693"
    assert not list(empty.iterdir())
    assert [path.read_bytes() for path in quarantine.restore(ABOUT.incident, empty, [b"f"])] == [b"x"]


def test_a_kept_link_never_leads_a_restored_file_elsewhere(
    quarantine: Quarantine, root: Path, tmp_path: Path
) -> None:
    """`out` was a link, then a folder: both were kept, by a resync that was interrupted in between."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "out").symlink_to(outside)
    quarantine.open(ABOUT).keep(str(root), "out")
    (root / "out").unlink()
    (root / "out").mkdir()
    (root / "out" / "f").write_bytes(b"x")
    quarantine.open(ABOUT).keep(str(root), "out/f")
    with pytest.raises(OSError, match="exists"):
        quarantine.restore(ABOUT.incident, tmp_path / "back")
    assert not list(outside.iterdir())


def test_an_incident_in_which_nothing_was_kept_is_none(quarantine: Quarantine) -> None:
    quarantine.open(ABOUT).close()
    assert quarantine.incidents() == []


def test_what_a_resync_fills_cannot_be_dropped(quarantine: Quarantine) -> None:
    incident = quarantine.open(ABOUT)
    incident.keep_tail(1, 7, [b"records"])
    with pytest.raises(NodeError) as caught:
        quarantine.drop(ABOUT.incident)
    assert caught.value.code == "HS696"
    incident.close()
    quarantine.drop(ABOUT.incident)
    assert quarantine.incidents() == []


def test_what_may_be_kept_follows_the_free_space(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path)
    bytes_free = free.f_bavail * free.f_frsize
    assert 0 <= limit_of(tmp_path / "not there yet", reserve=0) <= bytes_free
    assert limit_of(tmp_path, reserve=2 * bytes_free) == 0, "the reserve is never used"


def test_damage_in_the_quarantine_is_noticed(quarantine: Quarantine, root: Path, tmp_path: Path) -> None:
    (root / "f").write_bytes(b"precious")
    quarantine.open(ABOUT).keep(str(root), "f")
    (tmp_path / "quarantine" / ABOUT.incident / "1").write_bytes(b"preciouS")
    with pytest.raises(NodeError) as caught:
        quarantine.restore(ABOUT.incident, tmp_path / "back")
    assert caught.value.code == "HS695"


def test_the_tail_of_a_journal_is_kept_with_its_place(quarantine: Quarantine) -> None:
    quarantine.open(ABOUT).keep_tail(4711, 6, [b"one", memoryview(b"two")])
    (kept,) = quarantine.listing(ABOUT.incident)
    assert (kept.what, kept.offset, kept.size) == ("tail", 4711, 6)


def test_a_tail_is_kept_once_however_often_the_nodes_meet(quarantine: Quarantine, tmp_path: Path) -> None:
    for _ in range(3):
        quarantine.open(ABOUT).keep_tail(4711, 3, [b"one"])
    assert len(quarantine.listing(ABOUT.incident)) == 1


def test_what_does_not_fit_leaves_nothing_behind(quarantine: Quarantine, root: Path, tmp_path: Path) -> None:
    """Asked for again and again, it would fill the disk."""
    incident = quarantine.open(ABOUT)
    (root / "small").write_bytes(b"x")
    incident.keep(str(root), "small")
    before = sorted((tmp_path / "quarantine" / ABOUT.incident).iterdir())
    with pytest.raises(QuarantineFull):
        incident.keep_tail(4711, 11 * MIB, (bytes(MIB) for _ in range(11)))

    def breaks() -> Iterator[bytes]:
        yield b"one"
        raise OSError("the disk gave up")

    with pytest.raises(OSError, match="gave up"):
        incident.keep_tail(4711, 6, breaks())
    assert sorted((tmp_path / "quarantine" / ABOUT.incident).iterdir()) == before


@pytest.mark.parametrize("name", ["..", "../x", "", "unknown"])
def test_incidents_that_do_not_exist(quarantine: Quarantine, name: str) -> None:
    with pytest.raises(NodeError) as caught:
        quarantine.drop(name)
    assert caught.value.code == "HS694"


def test_a_resync_keeps_what_it_destroys(
    quarantine: Quarantine, tmp_path: Path, enrolled: tuple[Keys, Keys]
) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    trees = Trees(tmp_path / "here", tmp_path / "there", enrolled, keep=quarantine.open(ABOUT).keep)
    (trees.here / "changed").write_bytes(b"source")
    (trees.there / "changed").write_bytes(b"unreplicated")
    (trees.there / "own").write_bytes(b"only here")
    trees.mirror()
    assert trees.equal()
    back = quarantine.restore(ABOUT.incident, tmp_path / "back")
    assert sorted(path.read_bytes() for path in back) == [b"only here", b"unreplicated"]
