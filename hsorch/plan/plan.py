"""Make a plan from a Spec and what was seen; keep it in a file; refuse it when the world has moved since."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from hsorch.errors import HsorchError, PlanStale
from hsorch.manifest.impact import Impact
from hsorch.plan import diff, graph, nodes, problems
from hsorch.plan.journal import Pending
from hsorch.plan.model import FORMAT, Action, Item, NodeState, Plan
from hsorch.plan.observe import Observation
from hsorch.plan.runtime import Runtime
from hsorch.spec import Spec, digest
from hsorch.verbs import StatusReport


def make(
    spec: Spec,
    seen: Mapping[str, Observation],
    runtime: Runtime,
    *,
    manifest: str = "cluster.yaml",
    lab: bool = False,
    pending: Pending | None = None,
) -> Plan:
    """Pure. lab: it is to be created first. pending: an apply that stopped half way, to be completed."""
    states = {name: nodes.node_state(observation) for name, observation in seen.items()}
    revision = nodes.target_revision(seen, digest(spec))
    wanted = nodes.needs(seen, runtime.name, revision, digest(spec), replicates=spec.replication is not None)
    base = _newest(seen)
    group_in = any(state.group_in for state in states.values())
    made = [Item(address="lab", action=Action.ADD, after="two nodes, a client, a witness")] if lab else []
    items = [
        *made,
        *nodes.node_items(seen, wanted, runtime.name),
        *diff.diff_specs(base, spec, group_in=group_in, empty=lab),
    ]
    outage = group_in and any(Impact[item.impact.upper()] >= Impact.OUTAGE for item in items)
    first = base is None and spec.group.desired_state == "in"
    owed = pending is not None and pending.owes_bring_in
    bring_in = (first or owed) and not any(report.up for report in _reports(seen))
    steps = graph.build(
        graph.Work(
            nodes=tuple(node.name for node in spec.nodes),
            needs=wanted,
            active=_active(seen),
            lab=lab,
            outage=outage,
            bring_in=bring_in,
            unfinished=_left_locked(seen, pending),
        )
    )
    return Plan(
        cluster=spec.cluster,
        manifest=manifest,
        spec=msgspec.structs.replace(spec, revision=revision),
        digest=digest(spec),
        runtime=runtime.name,
        observed=states,
        drift=nodes.drift(seen, spec),
        items=tuple(items),
        problems=problems.find(seen, spec, runtime, pending.id if pending else ""),
        steps=steps,
        brings_in=bring_in or outage,
        source=_active(seen) or _holder(seen) or spec.preferred,
    )


def save(plan: Plan, path: Path) -> None:
    """Raises HsorchError HS411 when the file can't be written."""
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(plan), indent=2) + b"\n")
    except OSError as error:
        raise HsorchError(
            f"the plan can't be written to {path}: {error.strerror}",
            hint="name a file in a folder that you may write",
            code="HS411",
        ) from error


def load(path: Path) -> Plan:
    """Raises HsorchError HS411 for what is no plan of this version."""
    try:
        plan = msgspec.json.decode(path.read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError) as error:
        raise HsorchError(
            f"{path} is not a saved plan: {error}",
            hint="make one with: hsorch plan --out FILE",
            code="HS411",
        ) from error
    if plan.format_version.partition(".")[0] != FORMAT.partition(".")[0]:
        raise HsorchError(
            f"{path} has format {plan.format_version}, this hsorch reads {FORMAT}",
            hint="make the plan anew with this hsorch",
            code="HS411",
        )
    return plan


def refuse_stale(plan: Plan, seen: Mapping[str, Observation], runtime: str) -> None:
    """Raises PlanStale with what moved since the plan was made."""
    moved = [] if plan.runtime == runtime else [f"hsorch itself: runtime {plan.runtime} -> {runtime}"]
    for name, before in plan.observed.items():
        now = nodes.node_state(seen[name]) if name in seen else NodeState(exists=False)
        moved += _moves(name, before, now)
    if moved:
        raise PlanStale(
            "the plan is stale: the pair is not as it was when the plan was made; nothing was changed",
            hint=f"make a new one: hsorch plan {plan.manifest} --out FILE",
            detail="\n".join(moved),
        )


def _moves(name: str, before: NodeState, now: NodeState) -> list[str]:
    old, new = msgspec.structs.asdict(before), msgspec.structs.asdict(now)
    return [f"{name}.{field}: {old[field]} -> {new[field]}" for field in old if old[field] != new[field]]


def _left_locked(seen: Mapping[str, Observation], pending: Pending | None) -> bool:
    """The apply that stopped still holds a lock."""
    locks = [o.facts.lock for o in seen.values() if o.facts is not None and o.facts.lock is not None]
    return pending is not None and any(lock.id == pending.id for lock in locks)


def _newest(seen: Mapping[str, Observation]) -> Spec | None:
    """The committed spec of the highest revision: what the last apply wanted of the pair."""
    committed = [o.facts.spec for o in seen.values() if o.facts is not None and o.facts.spec is not None]
    return max(committed, key=lambda spec: spec.revision, default=None)


def _active(seen: Mapping[str, Observation]) -> str:
    return next((report.active for report in _reports(seen) if report.active), "")


def _holder(seen: Mapping[str, Observation]) -> str:
    """Where the next bring-in starts the group, by the newer word of the two nodes."""
    newest = max(_reports(seen), key=lambda r: (r.epoch_major, r.epoch_minor), default=None)
    return newest.holder if newest is not None else ""


def _reports(seen: Mapping[str, Observation]) -> list[StatusReport]:
    return [o.facts.agent for o in seen.values() if o.facts is not None and o.facts.agent is not None]
