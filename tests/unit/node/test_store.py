"""A node forgets nothing, and knows when it has forgotten."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsorch.node.core.types import Config, Desired, Durable, Epoch, Intent, StoreProbed
from hsorch.node.store import Store, seal, unseal

DURABLE = Durable(
    config=Config(epoch=Epoch(3, 4), holder="b", solo=True),
    intent=Intent(version=9, by="a", desired=Desired.IN),
    boot="boot-1",
    incarnation=12,
    unclean=("app",),
)

durables = st.builds(
    Durable,
    config=st.builds(
        Config,
        epoch=st.builds(Epoch, st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1)),
        holder=st.text(max_size=20),
        solo=st.booleans(),
    ),
    stale=st.booleans(),
    boot=st.text(max_size=40),
    incarnation=st.integers(0, 2**63 - 1),
    failovers=st.lists(st.integers(0, 2**40), max_size=5).map(tuple),
    unclean=st.lists(st.text(max_size=10), max_size=3).map(tuple),
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state.json", tmp_path / "incarnation")


@given(durables)
def test_what_is_sealed_opens_again(durable: Durable) -> None:
    assert unseal(seal(durable), Durable) == durable


def test_a_state_file_cut_at_any_byte_is_recognised() -> None:
    whole = seal(DURABLE)
    for length in range(len(whole)):
        with pytest.raises(ValueError, match=r"torn|checksum|format"):
            unseal(whole[:length], Durable)


@given(st.data())
def test_a_flipped_bit_never_changes_what_is_believed(data: st.DataObject) -> None:
    whole = bytearray(seal(DURABLE))
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(ValueError):
        assert unseal(bytes(whole), Durable) == DURABLE


@given(st.binary(max_size=300))
def test_garbage_is_an_error_and_nothing_else(garbage: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        unseal(garbage, Durable)


def test_a_first_start_is_not_a_loss(store: Store) -> None:
    loaded = store.load()
    assert loaded.durable is None
    assert not loaded.forgotten


def test_a_torn_state_file_makes_the_node_forgetful_and_says_why(store: Store, tmp_path: Path) -> None:
    store.save(DURABLE)
    (tmp_path / "state.json").write_bytes(seal(DURABLE)[:40])
    loaded = store.load()
    assert loaded.forgotten
    assert loaded.durable is None
    assert "state.json" in loaded.detail


def test_a_state_file_that_vanished_after_a_run_is_a_loss(store: Store) -> None:
    store.next_incarnation(100)
    assert store.load().forgotten


def test_a_saved_state_is_loaded_by_the_next_run(store: Store) -> None:
    assert store.save(DURABLE).ok
    assert store.load().durable == DURABLE


def test_a_full_disk_is_told_and_the_old_state_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save(DURABLE)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    done = store.save(Durable(config=Config(epoch=Epoch(9, 9), holder="a")))
    monkeypatch.undo()
    assert not done.ok
    assert "No space left" in done.detail
    assert store.load().durable == DURABLE


def test_incarnations_rise_even_when_the_clock_is_set_back(store: Store) -> None:
    first = store.next_incarnation(1_000_000)
    assert store.next_incarnation(5) == first + 1


def test_a_node_that_lost_its_disk_starts_above_what_its_peer_remembers(store: Store, tmp_path: Path) -> None:
    before = store.next_incarnation(1_000_000)
    (tmp_path / "incarnation").unlink()
    assert store.next_incarnation(1_000_060) > before


def test_an_incarnation_that_the_core_took_is_never_undercut(store: Store) -> None:
    """Set back to an old image, clock of 1970: below it the peer takes this run for a recording."""
    store.next_incarnation(5)
    assert store.next_incarnation(6, known=1_000_000) > 1_000_000


def test_a_probe_tries_the_disk_and_leaves_the_state_alone(store: Store, tmp_path: Path) -> None:
    store.save(DURABLE)
    assert store.probe() == StoreProbed(ok=True)
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]
    assert store.load().durable == DURABLE


def test_a_probe_says_why_the_disk_refuses(tmp_path: Path) -> None:
    gone = Store(tmp_path / "gone" / "state.json", tmp_path / "incarnation")
    answer = gone.probe()
    assert not answer.ok
    assert "No such file or directory" in answer.detail
