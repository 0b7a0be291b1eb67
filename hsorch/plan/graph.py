"""From needs to steps: one directed acyclic graph over both nodes, in a stable topological order. Pure.

What must hold (tests/unit/plan/test_graph.py): nothing changes before both locks are held; nothing is
committed before both nodes have staged; an outage begins after staging and ends before unlocking; the active
node's agent restarts last; unlocking is the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hsorch.plan.model import Step, StepKind
from hsorch.plan.nodes import NodeNeeds

if TYPE_CHECKING:
    import networkx


@dataclass(frozen=True, slots=True)
class Work:
    """What the graph is made from. nodes: in the manifest's order."""

    nodes: tuple[str, ...]
    needs: Mapping[str, NodeNeeds]
    active: str = ""
    lab: bool = False
    outage: bool = False
    bring_in: bool = False
    unfinished: bool = False
    """An apply that stopped left its locks: at least look and unlock."""

    @property
    def any(self) -> bool:
        needed = any(need.any for need in self.needs.values())
        return needed or self.lab or self.bring_in or self.unfinished


@dataclass
class _Steps:
    found: dict[str, Step] = field(default_factory=dict)

    def add(self, kind: StepKind, text: str, node: str = "", after: Iterable[str] = ()) -> str:
        """after: ids of steps; those that were not needed are left out."""
        step_id = f"{kind} {node}".strip()
        needs = tuple(step for step in after if step in self.found)
        self.found[step_id] = Step(id=step_id, kind=kind, node=node, needs=needs, text=text)
        return step_id

    def of(self, *kinds: StepKind) -> list[str]:
        return [step.id for step in self.found.values() if step.kind in kinds]


def build(work: Work) -> tuple[Step, ...]:
    """Steps in the order of `sort`. Empty when there is nothing to do."""
    if not work.any:
        return ()
    steps = _Steps()
    if work.lab:
        steps.add(StepKind.LAB, "create the lab: two nodes, a client and a witness")
    _prepare(steps, work)
    _pin_peers(steps, work)
    _put_spec_in_force(steps, work)
    _bring_to_life(steps, work)
    last = steps.of(StepKind.VERIFY, StepKind.BRING_IN)[-1:]
    for node in work.nodes:
        steps.add(StepKind.UNLOCK, f"unlock {node}", node, last)
    return sort(steps.found.values())


def sort(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Topological order; of the steps that are free, the one named first. Raises ValueError for a cycle."""
    import networkx

    given = {step.id: step for step in steps}
    position = {step_id: index for index, step_id in enumerate(given)}
    graph = to_graph(given.values())
    try:
        order = list(networkx.lexicographical_topological_sort(graph, key=position.__getitem__))
    except networkx.NetworkXUnfeasible as error:
        cycle = " -> ".join(edge[0] for edge in networkx.find_cycle(graph))
        raise ValueError(f"the steps form a cycle: {cycle}") from error
    return tuple(given[step_id] for step_id in order)


def to_graph(steps: Iterable[Step]) -> networkx.DiGraph[str]:
    """Edges run from a step to those that need it."""
    import networkx

    graph: networkx.DiGraph[str] = networkx.DiGraph()
    for step in steps:
        graph.add_node(step.id)
        graph.add_edges_from((need, step.id) for need in step.needs)
    return graph


def _prepare(steps: _Steps, work: Work) -> None:
    """Runtime beside the old one, then the locks, then the switch to it and membership."""
    for node in work.nodes:
        if work.needs[node].install:
            steps.add(StepKind.UNPACK, f"put the runtime on {node}", node, [StepKind.LAB])
    for node in work.nodes:
        steps.add(StepKind.LOCK, f"lock {node}", node, [StepKind.LAB, f"{StepKind.UNPACK} {node}"])
    locks = steps.of(StepKind.LOCK)
    for node in work.nodes:
        if work.needs[node].install:
            steps.add(StepKind.ACTIVATE, f"make the new runtime current on {node}", node, locks)
    for node in work.nodes:
        if work.needs[node].enroll:
            after = [*locks, f"{StepKind.ACTIVATE} {node}"]
            steps.add(StepKind.ENROLL, f"make {node} a member: identity and key", node, after)


def _pin_peers(steps: _Steps, work: Work) -> None:
    """Each node shows its certificate to the other, so both must be members before."""
    ready = steps.of(StepKind.LOCK, StepKind.ACTIVATE, StepKind.ENROLL)
    for node in work.nodes:
        if work.needs[node].pin:
            text = f"let {node} trust its peer's key on the data channel"
            steps.add(StepKind.PIN, text, node, ready)


def _put_spec_in_force(steps: _Steps, work: Work) -> None:
    """Two phases: staged on both, then committed on both."""
    committing = [node for node in work.nodes if work.needs[node].commit]
    ready = steps.of(StepKind.LOCK, StepKind.ACTIVATE, StepKind.ENROLL, StepKind.PIN)
    for node in committing:
        steps.add(StepKind.STAGE, f"stage the spec on {node}", node, ready)
    staged = steps.of(StepKind.STAGE)
    if work.outage:
        staged.append(steps.add(StepKind.BRING_OUT, "bring the group out", "", staged or ready))
    for node in committing:
        steps.add(StepKind.COMMIT, f"commit the spec on {node}", node, staged)


def _bring_to_life(steps: _Steps, work: Work) -> None:
    prepared = (StepKind.LOCK, StepKind.ACTIVATE, StepKind.ENROLL, StepKind.PIN, StepKind.BRING_OUT)
    ready = steps.of(StepKind.COMMIT) or steps.of(*prepared)
    for node in work.nodes:
        need = work.needs[node]
        if need.start:
            steps.add(StepKind.SERVICE, f"install and start the service on {node}", node, ready)
        elif need.reload:
            steps.add(StepKind.RELOAD, f"tell the agent of {node}", node, ready)
    for node in sorted(work.nodes, key=lambda n: n == work.active):
        if work.needs[node].restart:
            before = steps.of(StepKind.SERVICE, StepKind.RELOAD, StepKind.RESTART)
            steps.add(StepKind.RESTART, f"restart the agent of {node}", node, ready + before)
    alive = steps.of(StepKind.SERVICE, StepKind.RELOAD, StepKind.RESTART) or ready
    verified = steps.add(
        StepKind.VERIFY, "verify that both nodes run this spec and hear each other", "", alive
    )
    if work.outage or work.bring_in:
        steps.add(StepKind.BRING_IN, "bring the group in", "", [verified])
