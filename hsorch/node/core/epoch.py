"""Transitions of the durable config: adopt the peer's, and the changes the pair makes inside a major.

Who may do what is in rules.py; witness.py brings new majors. Each change is durable before it is told.
"""

from __future__ import annotations

from msgspec.structs import replace

from hsorch.node.core import data_rules, facts, group, lease, report, rules
from hsorch.node.core.actions import Disarm, Severity
from hsorch.node.core.state import Phase, State
from hsorch.node.core.turn import Turn
from hsorch.node.core.types import Beat, Config, Desired, Epoch

NOWHERE = Epoch(-1, 0)
"""Epoch of a node that has forgotten: below every real one, so it adopts whatever its peer holds."""

PLANNED = ("switch", "set-active", "shutdown")
"""Releases by an operator's word: they do not count against the flap limit."""


def meet_peer(turn: Turn) -> None:
    """Take over what the peer knows better: intent, config, evidence."""
    beat = turn.state.peer.beat
    if turn.state.broken:
        if beat is not None:
            _keep_in_mind(turn, beat.config)
        return
    _make_up(turn)
    if beat is None:
        return
    _adopt_intent(turn, beat)
    mine, theirs = turn.state.durable.config, beat.config
    if theirs.holder == turn.state.me and not _stands_by_it(turn, beat):
        return
    if rules.supersedes(theirs, mine, _on_conflict(turn)):
        if theirs.epoch == mine.epoch:
            turn.emit(
                Severity.ALARM,
                "conflict",
                f"two nodes claim epoch {show(mine)}: {theirs.holder} stays, {turn.state.me} gives way",
                "HS741",
            )
        _give_way(turn, theirs, by=beat.release)
    elif theirs.epoch.major == mine.epoch.major and not turn.state.durable.evidence:
        turn.save(evidence=True)
    _mark_data(turn)


def _mark_data(turn: Turn) -> None:
    """Keep durably whether the data here are behind the peer's."""
    if data_rules.caught_up(turn.state, turn.now):
        turn.save(stale=False)
    elif data_rules.fell_behind(turn.state):
        turn.save(stale=True)


def _stands_by_it(turn: Turn, beat: Beat) -> bool:
    """The peer gave this right just now and in its present run: one that started again may have forgotten."""
    return beat.incarnation == turn.state.peer.incarnation and facts.heard_lately(turn.state, turn.now)


def _keep_in_mind(turn: Turn, theirs: Config) -> None:
    """It can't be stored now. A peer that forgets it meanwhile must not be told the older one for good.

    Only what takes rights away: a right that the peer gave and then forgot would be claimed by both."""
    state = turn.state
    if theirs.holder == state.me:
        return
    if rules.supersedes(theirs, state.missed or state.durable.config, _on_conflict(turn)):
        turn.set(missed=theirs)
        if facts.acting(state):
            group.fence(turn, f"{state.peer_name} holds the newer epoch {show(theirs)}")


def _make_up(turn: Turn) -> None:
    """The disk takes it again. Forgotten only once it is stored, since that may fail."""
    missed = turn.state.missed
    if missed is None:
        return
    if rules.supersedes(missed, turn.state.durable.config, _on_conflict(turn)):
        _give_way(turn, missed)
    else:
        turn.set(missed=None)


def _give_way(turn: Turn, theirs: Config, by: str = "") -> None:
    """What acts here in an older epoch ends first."""
    if theirs.holder != turn.state.me and facts.acting(turn.state):
        group.fence(turn, f"{turn.state.peer_name} holds the newer epoch {show(theirs)}")
        return
    before = turn.state
    adopt(turn, theirs, by=by)
    mine = before.durable.config
    if theirs.holder == before.me != mine.holder and mine.epoch != NOWHERE:
        _was_given(turn, before, by)


def _was_given(turn: Turn, before: State, by: str) -> None:
    """Counted also where the reason was told while it could not be stored, and is not known any more."""
    if by not in PLANNED:
        count_takeover(turn)
    if turn.state.durable.config.solo:
        how = f"{before.me} takes over: {before.peer_name} cannot read its data"
        tell_takeover(turn, before, "takeover_begin", how)


def _on_conflict(turn: Turn) -> str:
    return turn.state.spec.policy.on_conflict


def adopt(turn: Turn, config: Config, by: str = "") -> None:
    """Hold `config` from now on. `by`: why the peer handed over, when it did."""
    state = turn.state
    mine = config.holder == state.me
    same_major = config.epoch.major == state.durable.config.epoch.major
    taken = mine and state.durable.config.holder != state.me
    stale = _is_stale(state, config)
    cleared = bool(by) and not config.solo if taken else mine and state.durable.cleared
    turn.save(config=config, evidence=True, stale=stale, cleared=cleared)
    lease.restart(turn, keep=mine and facts.acting(state) and not config.solo)
    if rules.exclusive(config, state.me) and facts.acting(state):
        turn.do(Disarm())
    turn.witness(proposed=turn.state.witness.proposed and same_major, forced=-1)
    if taken:
        turn.set(want="")
        turn.group(release="", reason=by)
    turn.emit(
        Severity.INFO,
        "epoch_changed",
        f"epoch {show(config)}",
        major=config.epoch.major,
        minor=config.epoch.minor,
        holder=config.holder,
        solo=config.solo,
    )


def _is_stale(state: State, config: Config) -> bool:
    """Data that were behind are so until they have caught up; a node that forgot knows nothing of its own."""
    if config.holder == state.me:
        return state.durable.config.epoch == NOWHERE
    return config.solo or (state.durable.stale and facts.replicates(state.spec))


def forget(turn: Turn) -> None:
    """Safest role: no right at all until the peer tells more."""
    turn.save(config=nothing(turn.state.peer_name), stale=True)
    lease.restart(turn)
    turn.witness(proposed=False, forced=-1)


def nothing(peer: str) -> Config:
    return Config(epoch=NOWHERE, holder=peer, solo=True)


def count_takeover(turn: Turn) -> None:
    """Remember an automatic takeover for the flap limit (REQ-G12), newest last."""
    kept = turn.state.durable.failovers[-15:]
    turn.save(failovers=(*kept, facts.wall_seconds(turn.state, turn.now)))


def tell_takeover(
    turn: Turn, before: State, kind: str, how: str, code: str = "", *, sure: bool = True
) -> None:
    """Where something is replicated, with what is lost at most (REQ-G03), as it was known before.

    sure: the peer cannot have gone on alone."""
    fields: dict[str, int] = {}
    lost = report.bound(before, turn.now) if sure and not before.durable.stale else report.NOT_KNOWN
    if facts.replicates(before.spec):
        fields = {"lost_bytes": lost[0], "lost_ms": lost[1]}
    turn.emit(Severity.ALARM, kind, f"{how}{report.losing(before, lost)}", code, **fields)


def change_pair(turn: Turn) -> None:
    """At most one change of the pair inside its major, each by the node whose turn it is."""
    state, now = turn.state, turn.now
    config = state.durable.config
    if state.group.release and facts.is_holder(state):
        _hand_over(turn)
    elif rules.may_retire_register(state, now):
        _write(turn, Epoch(config.epoch.major + 2, 1), config.holder, solo=False, evidence=False)
    elif rules.may_lead_past(state, now):
        _lead_past(turn)
    elif rules.may_give_up_vote(state, now):
        turn.emit(Severity.INFO, "vote_given_up", f"{state.peer_name} may act without {state.me}")
        _write(turn, rules.pair_change(config, state.me), config.holder, solo=True)
    elif rules.may_skip_major(state, now):
        _write(turn, Epoch(config.epoch.major + 2, 0), state.me, solo=False, evidence=False)
    elif rules.may_open_pair(state, now):
        turn.emit(Severity.INFO, "pair_opened", f"{state.peer_name} is standby again")
        _write(turn, rules.pair_change(config, state.me), state.me, solo=False)
        lease.begin_implicit(turn)


def _lead_past(turn: Turn) -> None:
    state = turn.state
    config, known = state.durable.config, state.heard_of
    past = rules.pair_change(replace(config, epoch=known), state.me)
    turn.emit(
        Severity.WARNING,
        "epoch_passed",
        f"the replicator of {state.me} has heard of epoch {known.major}.{known.minor}, the pair has not: "
        "it goes on above that one",
    )
    _write(turn, past, config.holder, solo=True, evidence=past.major == config.epoch.major)


def _hand_over(turn: Turn) -> None:
    """Once the group is off here: give it to the peer, or keep it if the peer is gone by then."""
    state, now = turn.state, turn.now
    if rules.may_hand_over(state, now):
        turn.emit(
            Severity.INFO,
            "handed_over",
            f"{state.peer_name} is to run the group: {state.group.release}",
            "",
            reason=state.group.release,
        )
        # Where the data did not get across, the peer goes on with its own, and alone.
        solo = data_rules.forfeits(state, now) and not data_rules.follows(state, now)
        _write(turn, rules.pair_change(state.durable.config, state.me), state.peer_name, solo=solo)
    elif state.group.phase is Phase.OFF:
        turn.emit(
            Severity.WARNING,
            "handover_aborted",
            f"{state.peer_name} went out of sight: the group stays on {state.me}",
            "HS705",
        )
        turn.group(release="")


def _write(turn: Turn, epoch: Epoch, holder: str, *, solo: bool, evidence: bool = True) -> None:
    adopt(turn, Config(epoch=epoch, holder=holder, solo=solo))
    if not evidence:
        turn.save(evidence=rules.evidence_after_skip())


def _adopt_intent(turn: Turn, beat: Beat) -> None:
    """Newest wish wins; bringing the group in anew clears what an earlier failure left behind."""
    mine, theirs = turn.state.durable.intent, beat.intent
    if (theirs.version, theirs.by) > (mine.version, mine.by):
        turn.save(intent=theirs)
        if theirs.desired is Desired.IN and mine.desired is Desired.OUT:
            absolve(turn)


def absolve(turn: Turn) -> None:
    """An operator brought the group in: counts and marks of earlier failures are over."""
    turn.save(failovers=())
    turn.group(failed=0, restarts=0)


def show(config: Config) -> str:
    kind = "SOLO" if config.solo else "PAIR"
    return f"{config.epoch.major}.{config.epoch.minor} {kind}({config.holder})"
