"""Which data descend from which: generations of a node's data, and what two nodes do when they meet.

Pure, after DRBD. A generation is a random 64-bit name for one line of writes. A node that
goes on without its peer begins a new one and remembers where it forked, so that two nodes which both went on
are told apart from one that is merely behind. Divergence is only detected here; an operator decides it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from hsorch.errors import RefusedError
from hsorch.spec import Wire

NOWHERE = 1
"""An lsn below all records: a source that is unsure from there on is unsure of everything."""
HISTORY = 8
"""Past generations that a node remembers: one per takeover; older ones cost a full comparison."""


class Fork(Wire, frozen=True, kw_only=True):
    """Where a generation ended for its successor: every write up to lsn belongs to both."""

    generation: int
    lsn: int


class Lineage(Wire, frozen=True, kw_only=True):
    """What a node knows of its own data. Durable, and sent to the peer when they meet.

    current 0: nothing was ever replicated here. base: the generation that the peer still holds; since
    base.lsn every write is noted in the dirty bitmap. end: lsn after the last write of `current` here.
    """

    current: int = 0
    base: Fork | None = None
    history: tuple[Fork, ...] = ()
    """Newest first, base not included."""
    end: int = 0
    receiving: int = 0
    """Not 0: a mirror or resync of that generation onto this node is unfinished, and `current` names
    what was here before."""
    unsure_from: int = 0
    """Not 0: was the source and did not end cleanly. What it wrote last may be missing from files or journal,
    and from this lsn on numbers may have been given twice."""

    @property
    def blank(self) -> bool:
        """Nothing was ever replicated here, nor has a first mirror begun."""
        return not self.current and not self.receiving

    @property
    def consistent(self) -> bool:
        return not self.receiving

    @property
    def tail_unsure(self) -> bool:
        return self.unsure_from > 0

    def ancestors(self) -> tuple[Fork, ...]:
        return self.history if self.base is None else (self.base, *self.history)

    def goes_on_from(self, generation: int) -> bool:
        """Whether these data are of that generation, or of one that came of it."""
        line = (self.current, *(fork.generation for fork in self.ancestors()))
        return generation != 0 and generation in line


class Meeting(StrEnum):
    """What to do, from this node's side. The other node comes to the counterpart by itself."""

    FIRST = "first"
    """Neither ever replicated: the operator confirms the direction of the first mirror."""
    STREAM = "stream"
    """Same data up to the lower end: the source, by role, goes on from there. A source whose end is the
    lower one lost its tail and counts as unsure."""
    SEND_HOT = "send-hot"
    RECEIVE_HOT = "receive-hot"
    """Same generation, but the source's own tail is unsure: compare its hot extents first."""
    SEND_DIRTY = "send-dirty"
    RECEIVE_DIRTY = "receive-dirty"
    """The receiver is at the fork: the bitmap says what differs."""
    SEND_VERIFY = "send-verify"
    RECEIVE_VERIFY = "receive-verify"
    """The receiver is at an older fork, or unfinished: compare all blocks."""
    SEND_ALL = "send-all"
    RECEIVE_ALL = "receive-all"
    """The receiver never held this data."""
    DIVERGED = "diverged"
    """Both went on from a common ancestor: select a source (HS690)."""
    UNRELATED = "unrelated"
    """No common ancestor: these are two different sets of data (HS691)."""
    UNUSABLE = "unusable"
    """Both are unfinished: no side has a whole image (HS692)."""


MIRRORED = {
    Meeting.SEND_HOT: Meeting.RECEIVE_HOT,
    Meeting.SEND_DIRTY: Meeting.RECEIVE_DIRTY,
    Meeting.SEND_VERIFY: Meeting.RECEIVE_VERIFY,
    Meeting.SEND_ALL: Meeting.RECEIVE_ALL,
}
_COUNTERPART = {**MIRRORED, **{theirs: mine for mine, theirs in MIRRORED.items()}}


@dataclass(frozen=True)
class Verdict:
    """fork: up to where the receiver's data are the sender's too (0: nowhere).

    rolled_back: bytes that the receiver wrote after the fork. They are not at the sender, and go into the
    receiver's quarantine before anything is overwritten; a resync that goes on finds them there already.
    """

    meeting: Meeting
    reason: str
    fork: int = 0
    rolled_back: int = 0
    since: int | None = None


def meet(mine: Lineage, theirs: Lineage) -> Verdict:
    """What this node does when it meets the peer. meet(b, a) is the counterpart of meet(a, b)."""
    if not mine.current and not theirs.current:
        return Verdict(Meeting.FIRST, "neither node has replicated data")
    if not mine.current or not theirs.current:
        meeting = Meeting.SEND_ALL if mine.current else Meeting.RECEIVE_ALL
        return _whole_sender(mine, theirs, Verdict(meeting, "one node never held these data"))
    if mine.current == theirs.current:
        return _same(mine, theirs)
    if verdict := _descends(mine, theirs):
        return _whole_sender(mine, theirs, verdict)
    if verdict := _descends(theirs, mine):
        return _whole_sender(mine, theirs, counterpart(verdict))
    shared = _common(mine, theirs)
    if shared is None:
        return Verdict(Meeting.UNRELATED, "the two nodes hold data of different origin")
    return Verdict(
        Meeting.DIVERGED,
        f"both nodes went on by themselves after generation {shared.generation:016x}",
        fork=shared.lsn,
    )


def counterpart(verdict: Verdict) -> Verdict:
    return Verdict(
        _COUNTERPART.get(verdict.meeting, verdict.meeting),
        verdict.reason,
        verdict.fork,
        verdict.rolled_back,
        verdict.since,
    )


def _same(mine: Lineage, theirs: Lineage) -> Verdict:
    if not mine.consistent and not theirs.consistent:
        return Verdict(Meeting.UNUSABLE, "both nodes are in the middle of a resync")
    if mine.consistent != theirs.consistent:
        meeting = Meeting.SEND_VERIFY if mine.consistent else Meeting.RECEIVE_VERIFY
        return Verdict(meeting, "an unfinished resync goes on")
    fork = min(mine.end, theirs.end)
    if mine.tail_unsure != theirs.tail_unsure:
        meeting = Meeting.SEND_HOT if mine.tail_unsure else Meeting.RECEIVE_HOT
        fork = min(fork, mine.unsure_from or theirs.unsure_from)
        return Verdict(meeting, "the source of these data did not end cleanly", fork=fork, since=fork)
    if mine.tail_unsure and theirs.tail_unsure:
        return Verdict(Meeting.DIVERGED, "both nodes say they were the source of one generation", fork=fork)
    return Verdict(Meeting.STREAM, "same generation", fork=fork)


def _descends(newer: Lineage, older: Lineage) -> Verdict | None:
    """The verdict from newer's side when older's generation is an ancestor of newer's."""
    fork = next((f for f in newer.ancestors() if f.generation == older.current), None)
    if fork is None:
        return None
    by_bitmap = newer.base is fork and older.receiving in (0, newer.current)
    # What such a source sent before its power went may be known nowhere but at the receiver.
    told = by_bitmap and not (older.receiving and newer.tail_unsure)
    return Verdict(
        Meeting.SEND_DIRTY if by_bitmap else Meeting.SEND_VERIFY,
        "the peer is at the point where this node went on alone"
        if by_bitmap
        else "the peer is behind by more than the bitmap tells",
        fork=fork.lsn,
        rolled_back=max(0, older.end - fork.lsn) if older.consistent else 0,
        since=_since(newer, older, fork.lsn) if told else None,
    )


def _since(newer: Lineage, older: Lineage, fork: int) -> int:
    """A receiver that was the source itself knows what it may lack below the fork."""
    reached_to = fork if older.tail_unsure else older.end
    return min(fork, reached_to, newer.unsure_from or fork)


def _whole_sender(mine: Lineage, theirs: Lineage, verdict: Verdict) -> Verdict:
    """An unfinished image is never sent anywhere."""
    sender = mine if verdict.meeting in MIRRORED else theirs
    if sender.consistent:
        return verdict
    return Verdict(Meeting.UNUSABLE, "the newer of the two images is itself unfinished", verdict.fork)


def _common(mine: Lineage, theirs: Lineage) -> Fork | None:
    theirs_by_name = {fork.generation: fork for fork in theirs.ancestors()}
    for fork in mine.ancestors():
        if other := theirs_by_name.get(fork.generation):
            return fork if fork.lsn <= other.lsn else other
    return None


def refusal(verdict: Verdict) -> RefusedError | None:
    """Why nothing is replicated until an operator decides; None: it goes on by itself."""
    if verdict.meeting not in _DECIDED_BY_OPERATOR:
        return None
    return RefusedError(
        f"replication stopped: {verdict.reason}",
        hint="hsorch select-source NODE --survey shows what each side would lose.",
        code=_DECIDED_BY_OPERATOR[verdict.meeting],
    )


def newer(verdict: Verdict) -> RefusedError:
    """A source whose standby went on from its data."""
    return RefusedError(
        f"replication stopped: the standby's data are newer ({verdict.reason})",
        hint="hsorch select-source NODE --survey shows what each side would lose.",
        code="HS689",
    )


_DECIDED_BY_OPERATOR = {Meeting.DIVERGED: "HS690", Meeting.UNRELATED: "HS691", Meeting.UNUSABLE: "HS692"}


# ------------------------------------------------------------------ what changes a lineage


def begin(new: int) -> Lineage:
    """The first source of all (operator's choice of direction)."""
    return Lineage(current=new)


def go_on_alone(mine: Lineage, new: int, lsn: int) -> Lineage:
    """Before the first write that the peer will not get, and before a takeover acts.

    lsn: up to where the peer may have followed. A node already alone stays as it is: its peer is still at
    the same base.
    """
    if mine.base is not None:
        return mine
    return msgspec.structs.replace(mine, current=new, base=Fork(generation=mine.current, lsn=lsn))


def resync_began(receiver: Lineage, sender: Lineage) -> Lineage:
    """Durable before the first block is overwritten."""
    return msgspec.structs.replace(receiver, receiving=sender.current)


def doubted(source: Lineage, lsn: int) -> Lineage:
    """A source whose machine went down, or whose journal lost records from lsn on."""
    return msgspec.structs.replace(source, unsure_from=min(source.unsure_from or lsn, lsn))


def resynced(sender: Lineage) -> Lineage:
    """The sender once the peer holds everything: the fork is history, the bitmap is empty."""
    return msgspec.structs.replace(sender, base=None, history=sender.ancestors()[:HISTORY], unsure_from=0)


def adopted(sender: Lineage, lsn: int) -> Lineage:
    """The receiver once it holds all of the sender's data up to lsn."""
    return msgspec.structs.replace(resynced(sender), end=lsn, receiving=0)


def selected(winner: Lineage, new: int) -> Lineage:
    """An operator chose this side after DIVERGED, UNRELATED or UNUSABLE, knowing what the other loses.

    Never streamed to anyone: the other side is compared block by block.
    """
    past = Fork(generation=winner.current, lsn=winner.end)
    history = (past, *winner.ancestors())[:HISTORY]
    return Lineage(current=new, history=history, end=winner.end)


def rejected(loser: Lineage, winner: Lineage) -> Lineage:
    """The other side of that choice: from now on behind the winner, whatever it wrote (quarantined first)."""
    return msgspec.structs.replace(
        winner, current=winner.history[0].generation, receiving=winner.current, base=None, end=loser.end
    )


def reached(mine: Lineage, lsn: int) -> Lineage:
    return msgspec.structs.replace(mine, end=lsn)
