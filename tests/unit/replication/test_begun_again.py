"""A comparison that broke off, and what others took from a standby: what is known of it when it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsorch.node.replication.answer import Questions
from hsorch.node.replication.apply import Astray
from hsorch.node.replication.carrying import Carrying
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.messages import Begin
from hsorch.node.replication.record import Kind
from hsorch.node.replication.spool import Spool
from hsorch.node.replication.stage import EVERYTHING
from hsorch.node.replication.wire import Broken
from tests.unit.replication.test_ends import SENDER, flip, standing

DB = 71


def with_a_file(ground: Ground) -> Journal:
    """It was brought over the stream, and is in the folder."""
    ground.journal.append(Kind.CREATE, fid=DB, a=0o600, path=b"db")
    ground.journal.append(Kind.WRITE, fid=DB, b=3, data=b"old")
    Spool(ground).finish()
    return ground.journal


def begins_anew(ground: Ground, carrying: Carrying) -> None:
    """The source says that nothing differs but for what it sends from here on."""
    at = ground.here()
    carrying.begins(Begin(at=at, asked_from=at.lsn, fresh=True, extents={}), SENDER, Questions(1), None)


def test_what_is_held_back_is_compared_when_the_comparison_begins_again(tmp_path: Path) -> None:
    """The source knows what came since the end of the spool; what is in it is let go of."""
    with standing(tmp_path) as ground:
        journal = with_a_file(ground)
        ground.hot.replace(frozenset(), 0)
        carrying = Spool(ground).carrying
        for _ in "a comparison", "the same again, as its link broke":
            begins_anew(ground, carrying)
            assert ground.meta.value.staged_over is not None
            assert carrying.midway
            differing = carrying._receiving._extents
            journal.append(Kind.MIRROR_BEGIN, a=EVERYTHING)
            journal.append(Kind.WRITE, fid=DB, b=3, data=b"new")
        assert differing is not None
        assert DB in differing


def test_a_comparison_whose_end_is_spooled_does_not_begin_again(tmp_path: Path) -> None:
    with standing(tmp_path) as ground:
        carrying = Spool(ground).carrying
        begins_anew(ground, carrying)
        begun = ground.journal.append(Kind.MIRROR_BEGIN, a=EVERYTHING)
        carrying._receiving._tells_from = begun.end  # nobody listens to what lies here
        assert carrying.midway
        ground.journal.append(Kind.MIRROR_END, a=EVERYTHING, b=begun.lsn)
        assert not carrying._receiving.lets_in(begun, begun.end), "not durable yet"
        assert not carrying.midway


def test_what_others_removed_is_remembered_when_a_takeover_finds_it(tmp_path: Path) -> None:
    """Asked again, the next one may pass over what has no name here any more: who asks must know by then."""
    with standing(tmp_path) as ground:
        journal = with_a_file(ground)
        spool = Spool(ground)
        (tmp_path / "data/db").unlink()
        journal.append(Kind.WRITE, fid=DB, b=3, data=b"new")
        with pytest.raises(Astray):
            spool.finish()
        assert ground.meta.value.verify_needed


def test_what_is_held_back_and_cannot_be_read_any_more_makes_everything_differ(tmp_path: Path) -> None:
    """Else the standby would refuse each beginning until it is started again."""
    with standing(tmp_path) as ground:
        journal = with_a_file(ground)
        ground.hot.replace(frozenset(), 0)
        carrying = Spool(ground).carrying
        begins_anew(ground, carrying)
        journal.append(Kind.MIRROR_BEGIN, a=EVERYTHING)
        journal.append(Kind.WRITE, fid=DB, b=3, data=b"new")
        (segment,) = ground.places.journal.iterdir()
        flip(segment, segment.read_bytes().rindex(b"new"))
        begins_anew(ground, carrying)
        assert carrying._receiving._extents is None


def test_no_stream_goes_on_from_a_spool_that_was_torn_since_its_end_was_told(tmp_path: Path) -> None:
    with standing(tmp_path) as ground:
        carrying = Spool(ground).carrying
        at = ground.here()
        ground.meta.change(torn=True)
        with pytest.raises(Broken):
            carrying.goes_on(Begin(at=at, asked_from=at.lsn), SENDER, Questions(1))


def test_a_stream_that_begins_anew_is_not_astray_where_the_one_before_was(tmp_path: Path) -> None:
    with standing(tmp_path) as ground:
        journal = with_a_file(ground)
        spool = Spool(ground)
        (tmp_path / "data/db").unlink()
        at = ground.here()
        journal.append(Kind.WRITE, fid=DB, b=3, data=b"new")
        with pytest.raises(Astray):
            spool.finish()
        assert spool.carrying.astray
        spool.carrying.begins(
            Begin(at=at, asked_from=at.lsn, fresh=True, extents={}), SENDER, Questions(1), None
        )
        assert spool.carrying.applied == at.lsn
        assert not spool.carrying.astray


@pytest.mark.parametrize(("role", "doubts"), [("target", True), ("source", False)])
def test_a_busy_source_is_not_an_unsure_one(tmp_path: Path, role: str, doubts: bool) -> None:
    """Where it writes is no more known place by place; that says nothing of what its files hold."""
    with standing(tmp_path) as ground:
        ground.meta.change(role=role)
        ground.hot.replace(None, 0)
        assert ground.hello().doubts is doubts
