"""What replicated data allow: who may take over with which image, who may start, who has a vote (rule 12).

Pure, like rules.py, and for the same reason always called through this module: a test can weaken one rule
and show that something breaks. With nothing replicated every rule here says yes.
"""

from __future__ import annotations

from hsorch.node.core import facts
from hsorch.node.core.state import MS, NEVER, SECOND, State
from hsorch.node.core.types import Beat, DataState, Image, Instant, NodeName, Span
from hsorch.spec import Policy

DRY = Span(5 * SECOND)
"""Under `complete` flushes wait no longer than this for a standby that is heard and gets no data."""
FRESH = Span(1_500 * MS)
"""What the replicator said longer ago is not known any more."""
SETTLE = Span(10 * SECOND)
"""A holder whose replicator does not answer leaves the group to the peer after this."""

_AUTOMATIC = {
    "complete": (DataState.NONE, DataState.COMPLETE),
    "logical": (DataState.NONE, DataState.COMPLETE, DataState.LOGICAL),
    "unconditional": (DataState.NONE, DataState.COMPLETE, DataState.LOGICAL, DataState.UNKNOWN),
}
_WHOLE = (DataState.NONE, DataState.COMPLETE, DataState.LOGICAL, DataState.OUTDATED)


def seen(state: State) -> DataState:
    """What the data here are worth to the pair: the mark that the peer went on alone counts, whatever the
    replicator says; and who wrote last and then gave the group away follows nobody yet."""
    gave_away = state.image.source and not facts.is_holder(state)
    if state.data in (DataState.COMPLETE, DataState.LOGICAL) and (state.durable.stale or gave_away):
        return DataState.OUTDATED
    if state.data is DataState.COMPLETE and short(state):
        return DataState.LOGICAL
    return state.data


def short(state: State) -> bool:
    """The source counted on more than lies here: these disks were set back, or lost what they had taken."""
    source, mine = state.peer.source, state.image
    one_line = bool(mine.generation) and source.generation == mine.generation
    followed = one_line and not mine.source and not mine.flows
    return followed and mine.lsn < source.lsn - source.behind_bytes


def gate(policy: Policy, data: DataState) -> bool:
    """[REQ-G13] Which data a standby may take over with by itself. Never an incomplete image."""
    return data in _AUTOMATIC[policy.takeover]


def may_be_forced(data: DataState) -> bool:
    """[REQ-G04, HS686] An operator's word replaces the policy, but no word makes a torn image whole."""
    return data is not DataState.INCONSISTENT


def why_not_take(state: State) -> str:
    """The reason against an automatic takeover that lies in the data here; empty: none."""
    data, policy = seen(state), state.spec.policy
    if gate(policy, data):
        return ""
    return f"the data here are {data.value}, and policy.takeover is {policy.takeover}"


def newer(theirs: Image, mine: Image) -> bool:
    """[REQ-H02] Their image goes on from mine, or there is none here."""
    if theirs.generation == mine.generation:
        return False
    return bool(theirs.generation) and (not mine.generation or mine.generation in theirs.ancestors)


def set_back(state: State, theirs: Image) -> bool:
    """These disks were set back, or lost their last writes with the power: of one line, the longer image is
    the newer one."""
    mine = state.image
    return bool(mine.generation) and theirs.generation == mine.generation and theirs.lsn > mine.lsn


def caught_up(state: State, now: Instant) -> bool:
    """This node follows the peer again and has all that the peer's last word knows of."""
    beat, mine = facts.in_step(state, now), state.image
    if not state.durable.stale or facts.is_holder(state) or beat is None:
        return False
    theirs = beat.image
    same = mine.generation == theirs.generation and mine.lsn >= theirs.lsn
    return same and mine.flows and theirs.level and not mine.source


def fell_behind(state: State) -> bool:
    """The exclusive peer goes on, and nothing of it reaches this node."""
    config = state.durable.config
    return (
        facts.replicates(state.spec) and config.solo and not facts.is_holder(state) and not state.image.flows
    )


def peer_is_newer(state: State, beat: Beat | None) -> bool:
    """[REQ-H02] The peer's data go on from this node's, or these are no picture at all: it must be active."""
    if beat is None or not facts.replicates(state.spec) or state.data is DataState.UNKNOWN:
        return False  # what lies here is not known yet: an empty answer is no empty disk
    torn = state.data is DataState.INCONSISTENT and beat.data in _WHOLE
    return torn or newer(beat.image, state.image) or set_back(state, beat.image)


def may_serve(state: State, now: Instant) -> bool:
    """[REQ-G13, H02] The holder starts the group here: on a whole image, and not on the older one of two."""
    if not facts.replicates(state.spec):
        return True
    if state.durable.cleared:
        return may_be_forced(state.data)
    beat = facts.peer_beat(state, now)
    if to_be_heard(state, beat, now) or (peer_is_newer(state, beat) and not left_to_me(state, beat)):
        return False
    if state.data is DataState.BLANK:  # the first start of all
        return beat is not None and beat.data is DataState.BLANK
    known = beat is not None or not state.durable.stale
    fit = state.image.source or gate(state.spec.policy, state.data) or lacks_nothing(state, beat)
    return known and fit


def left_to_me(state: State, beat: Beat | None) -> bool:
    """[REQ-G13] This node took over, as the policy allows it with what the source had counted on. The source
    is heard, and has the last moments more; but it can't run the group, and nobody would."""
    config, source, mine = state.durable.config, state.peer.source, state.image
    if beat is None or beat.able or not config.solo or not facts.is_holder(state):
        return False
    counted = source.generation == mine.generation
    enough = counted and mine.lsn >= source.lsn - max(0, source.behind_bytes)
    return enough and not newer(beat.image, mine) and gate(state.spec.policy, state.data)


def lacks_nothing(state: State, beat: Beat | None) -> bool:
    """Both nodes are here with one line of data, or these go on from the peer's, and nothing of it is missing
    on this one, as far as either knows: a word of an operator could bring no more."""
    if beat is None or state.durable.stale or short(state) or state.data is not DataState.LOGICAL:
        return False
    theirs, mine = beat.image, state.image
    no_more = theirs.generation == mine.generation and theirs.lsn <= mine.lsn
    return beat.data in _WHOLE and (no_more or theirs.generation in mine.ancestors)


def to_be_heard(state: State, beat: Beat | None, now: Instant) -> bool:
    """This node wrote last, for all it knows. The peer may have since, and does not know yet what lies on it:
    its replicator is given time."""
    unknown = beat is not None and beat.data is DataState.UNKNOWN
    return unknown and state.image.source and now - state.peer.data_unknown < SETTLE


def not_heard_yet(state: State, now: Instant) -> bool:
    """This run began just now, and its replicator is about to say what lies here."""
    return state.data is DataState.UNKNOWN and now - state.started < SETTLE


def why_leave(state: State, beat: Beat | None, now: Instant) -> str:
    """Why the holder, with nothing running, gives the group to a peer that can take it."""
    if not facts.wanted(state) or may_serve(state, now) or to_be_heard(state, beat, now):
        return ""
    if not_heard_yet(state, now):
        return ""
    newer_there = peer_is_newer(state, beat)
    return "the peer's data are newer" if newer_there else f"the data here are {state.data.value}"


def joined(state: State, beat: Beat) -> bool:
    """The standby gets its vote back with an image of this very line that follows. Under `complete` only once
    no flush here is answered without it: that right is given up before the vote is granted."""
    if not facts.replicates(state.spec):
        return True
    policy = state.spec.policy
    if policy.takeover == "complete" and not state.guarded:
        return False
    same = state.image.generation == beat.image.generation
    return state.image.level and same and gate(policy, beat.data)


def given_up(state: State, beat: Beat, now: Instant) -> bool:
    """Under `complete` the source waits for a standby that it hears but whose data connection is gone: the
    standby declares itself outdated, by a durable word, and the source goes on. One whose replicator gives no
    answer could not go on: it needs the standby."""
    if state.spec.policy.takeover != "complete" or not facts.replicates(state.spec):
        return False
    served = beat.acting and not beat.image.flows and beat.data is not DataState.UNKNOWN
    return served and _dry(state, now)


def shut_out(state: State, beat: Beat, now: Instant) -> bool:
    """[11] The replicator here takes nothing from the peer that serves: it has heard of a higher epoch than
    the pair is in. This node once made that one, and forgot it before the peer knew."""
    return state.heard_of > state.durable.config.epoch and beat.acting and _dry(state, now)


def _dry(state: State, now: Instant) -> bool:
    """For a while now no data have come here."""
    return state.dry_since != NEVER and now - state.dry_since >= DRY


def follows(state: State, now: Instant) -> bool:
    """[REQ-H09] Handing over in order loses nothing: the peer has all that was written here, or more."""
    if not facts.replicates(state.spec) or state.followed:
        return True
    return not facts.acting(state) and peer_is_newer(state, facts.peer_beat(state, now))


def forfeits(state: State, now: Instant) -> bool:
    """What lies here cannot be read, and nothing runs on it: the peer may have the group if it might take it
    over were this node dead. It has its vote: no flush was answered that the policy would miss."""
    config, beat = state.durable.config, facts.in_step(state, now)
    if beat is None or facts.acting(state) or config.solo or not facts.is_holder(state):
        return False
    return state.data is DataState.UNKNOWN and now - state.started >= SETTLE and beat.can_take


def may_write_alone(state: State) -> bool:
    """Flushes may be answered without the standby: it has no vote, by a durable word of it or the witness."""
    config = state.durable.config
    return config.solo and config.holder == state.me


def leads(me: NodeName, active: NodeName, holder: NodeName) -> bool:
    """[REQ-H03, HS749] The data here are in use, or would be: only these may be chosen as those that count.
    active: where the group runs; empty: nowhere."""
    return me == (active or holder)
