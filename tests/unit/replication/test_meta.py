"""Two slots: a write that was torn by a power cut costs the newest state at most."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsorch.node.replication.generations import Fork, Lineage
from hsorch.node.replication.meta import SLOT_BYTES, Meta, MetaFile, Place

FIRST = Meta(node="a", job=bytes(16))


def test_what_was_saved_is_there_again(tmp_path: Path) -> None:
    file = MetaFile(tmp_path / "meta", FIRST)
    changed = file.change(
        role="source",
        generations=Lineage(current=5, base=Fork(generation=4, lsn=77), history=(Fork(generation=3, lsn=9),)),
        checkpoint=Place(generation=5, lsn=4_096, crc=1),
    )
    assert MetaFile(tmp_path / "meta").value == changed


@pytest.mark.parametrize("torn_at", [0, 10, 40, 60])
def test_a_torn_write_leaves_the_state_before(tmp_path: Path, torn_at: int) -> None:
    path = tmp_path / "meta"
    file = MetaFile(path, FIRST)
    before = file.change(protected_until=1)
    old = path.read_bytes()
    file.change(protected_until=2)
    new = bytearray(path.read_bytes())
    slot = 0 if new[:SLOT_BYTES] != old[:SLOT_BYTES] else SLOT_BYTES
    new[slot + torn_at : slot + SLOT_BYTES] = b"\xee" * (len(new[slot : slot + SLOT_BYTES]) - torn_at)
    path.write_bytes(new)
    assert MetaFile(path).value == before


def test_what_was_closed_writes_over_nothing_newer(tmp_path: Path) -> None:
    """A thread that comes late has the state of before: what its successor made durable stays."""
    late = MetaFile(tmp_path / "meta", FIRST)
    late.close()
    newer = MetaFile(tmp_path / "meta").change(guarded=True)
    with pytest.raises(OSError, match="closed"):
        late.change(verify_needed="of before")
    assert MetaFile(tmp_path / "meta").value == newer


def test_neither_slot_whole_is_said_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "meta"
    MetaFile(path, FIRST)
    path.write_bytes(b"\0" * 2 * SLOT_BYTES)
    with pytest.raises(ValueError, match="neither slot"):
        MetaFile(path)
