"""Why this node cannot, or would not, take over, and why the pair is not protected: all reasons at once.

Each has a code with a page for the operator, and the way out. For `explain`; decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from hsorch.node.core import data_rules, facts, rules
from hsorch.node.core.state import NEVER, State
from hsorch.node.core.types import Desired, Instant, Value


class Limit(Value, frozen=True, kw_only=True):
    """One reason, with its code and the way out."""

    code: str
    message: str
    hint: str


def limits(state: State, now: Instant) -> tuple[Limit, ...]:
    """Every limit that holds now, gravest first."""
    return (
        *_of_wishes(state),
        *_of_this_node(state, now),
        *_of_rights(state, now),
        *_of_surroundings(state, now),
    )


def _limit(code: str, message: str, hint: str) -> Limit:
    return Limit(code=code, message=message, hint=hint)


def _of_wishes(state: State) -> Iterator[Limit]:
    intent = state.durable.intent
    if intent.maintenance:
        yield _limit("HS722", "Maintenance is on: nothing moves by itself.", "hsorch maintenance off")
    if intent.desired is Desired.OUT:
        yield _limit("HS723", f"The group {state.spec.group.name} is out.", "hsorch bring-in")
    if state.leaving:
        yield _limit("HS724", f"{state.me} is shutting down.", "Start its agent again.")


def _of_this_node(state: State, now: Instant) -> Iterator[Limit]:
    me, policy = state.me, state.spec.policy
    if state.broken:
        yield _limit(
            "HS725",
            f"{me} cannot store its state: it can keep no promise.",
            "Free space on, or repair, the disk that holds /var/lib/hsorch; the agent tries again by itself.",
        )
    if state.isolation.isolated:
        yield _limit(
            "HS726",
            f"{me} reaches none of {', '.join(policy.isolation.addresses)}: it regards itself as isolated.",
            "Repair the service network of this node, or correct policy.isolation.addresses.",
        )
    if facts.service_down(state):
        yield _limit(
            "HS727",
            f"A NIC that carries the group's addresses is down on {me}: {', '.join(state.nics_down)}.",
            "Plug in or enable the NIC.",
        )
    if data_rules.why_not_take(state):
        yield _of_data(state)
    if not rules.flap_allowed(state.durable.failovers, facts.wall_seconds(state, now), policy):
        yield _limit(
            "HS729",
            f"{me} took over {policy.max_failovers} times within {policy.failover_window_ms // 1000} s.",
            "Find out why it moves; then bring the group out and in again.",
        )
    if rules.failed_lately(state, now):
        yield _limit(
            "HS713",
            f"The group failed on {me} a short while ago: {state.group.failure}",
            f"See hsorch events for {me}; repair the resource.",
        )
    if not state.guard_alive:
        yield _limit(
            "HS731",
            f"The watchdog process of {me} does not answer: a frozen agent might not be fenced.",
            "The agent replaces it by itself; if this stays, restart the hsorch service of this node.",
        )


def _of_data(state: State) -> Limit:
    data = data_rules.seen(state)
    way_out = "Wait for the resync, or take over by force: hsorch takeover --force"
    if not data_rules.may_be_forced(data):
        way_out = (
            "Let the mirror or resync finish: these files are no picture of one moment, force is refused."
        )
    want = f"policy.takeover '{state.spec.policy.takeover}' wants better."
    return _limit("HS728", f"The data on {state.me} are '{data.value}'; {want}", way_out)


def _of_rights(state: State, now: Instant) -> Iterator[Limit]:
    config, me, peer = state.durable.config, state.me, state.peer_name
    if config.epoch.major < 0:
        yield _limit(
            "HS732",
            f"{me} has lost its memory of the pair and waits for {peer} to tell.",
            f"Start {peer}; if it is gone for good: hsorch takeover --force on {me}",
        )
    elif config.solo and config.holder == peer:
        yield _limit(
            "HS733",
            f"{peer} is exclusive (epoch {config.epoch.major}.{config.epoch.minor}): {me} has no vote.",
            f"It gets its vote back when {peer} is seen and the witness answers both."
            f" If {peer} is gone for good: hsorch takeover --force on {me}",
        )
    elif config.solo:
        yield _limit(
            "HS734",
            f"{me} is exclusive: {peer} could not take over now.",
            f"Bring {peer} back; with it and the witness in sight the pair is opened again by itself.",
        )
    if not config.solo and not state.durable.evidence:
        yield _limit(
            "HS735",
            f"{me} does not know yet whether {peer} has left the last major: it asks for no new one.",
            f"One heartbeat from {peer} is enough.",
        )
    if not rules.no_open_proposal(state):
        yield _limit(
            "HS736",
            f"{me} has asked the witness for epoch {config.epoch.major + 1} and has no answer yet.",
            "Bring the witness back.",
        )
    if not config.solo and config.holder == peer and not rules.wait_over(state, now):
        left = (state.lease.waits_from + state.lease.waits - now) // 1_000_000
        yield _limit("HS737", f"{me} has granted a lease that may run for {left} ms.", "Wait.")
    if not rules.start_wait_over(state, now):
        left = (state.started + state.timing.start_wait - now) // 1_000_000_000
        yield _limit(
            "HS738", f"{me} has just started: it waits up to {left} s for {peer}.", "Wait, or start the peer."
        )


def _of_surroundings(state: State, now: Instant) -> Iterator[Limit]:
    peer = state.peer_name
    if not facts.has_witness(state):
        yield _limit(
            "HS739",
            "The pair has no witness: after a crash only an operator can move the group.",
            "Give the manifest a witness, or use hsorch takeover --force when the active node is gone.",
        )
    elif state.witness.replaced:
        yield _limit(
            "HS712",
            f"The witness answers as another register ({state.witness.replaced}).",
            "Bring the right one back, or let both nodes see the new one while the pair is healthy.",
        )
    elif not state.witness.ok or state.witness.lost_since != NEVER:
        yield _limit(
            "HS721", f"{state.me} has no answer from the witness.", "Repair the witness or the way to it."
        )
    beat = facts.peer_beat(state, now)
    if beat is None:
        yield _limit("HS743", f"{peer} is not heard on any link.", f"Look at {peer} and at the links.")
        return
    if beat.digest != state.digest:
        yield _limit(
            "HS744", f"{state.me} and {peer} run different specs.", "hsorch apply, to finish the change."
        )
    if not beat.can_take and facts.is_holder(state):
        data = f" Its data are {beat.data.value}." if facts.replicates(state.spec) else ""
        yield _limit("HS745", f"{peer} could not take the group now.{data}", f"hsorch explain for {peer}")
    down = [link.name for link in state.links if not link.up]
    if down:
        yield _limit("HS720", f"Links without heartbeat: {', '.join(down)}.", "Repair them.")
