"""What plan, apply, graph and drift have in common: manifest → nodes seen → plan. Renders nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hsorch.cli.nodes import load_cluster, open_transports
from hsorch.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hsorch.manifest.model import Cluster
    from hsorch.plan.journal import Pending
    from hsorch.plan.model import Plan
    from hsorch.plan.observe import Observation
    from hsorch.plan.runtime import Runtime
    from hsorch.spec import Spec
    from hsorch.transport.base import Transport

IMPACTS = ("live", "restart", "outage", "overwrite")


@dataclass(frozen=True)
class Site:
    """A manifest's pair as it was seen just now, with its doors open."""

    path: Path
    spec: Spec
    transports: Mapping[str, Transport]
    seen: Mapping[str, Observation]
    runtime: Runtime
    lab: bool
    """The pair lives in a lab, and the lab is not up."""

    def plan(self, pending: Pending | None = None, spec: Spec | None = None) -> Plan:
        from hsorch.plan import plan as planning

        return planning.make(
            spec or self.spec,
            self.seen,
            self.runtime,
            manifest=str(self.path),
            lab=self.lab,
            pending=pending,
        )

    def create_lab(self) -> None:
        from hsorch.lab import lifecycle

        lifecycle.up(self.spec, self.path.parent)


@contextmanager
def site(path: Path) -> Iterator[Site]:
    """Raises what loading the manifest and looking at the nodes raise."""
    from concurrent.futures import ThreadPoolExecutor

    from hsorch.plan.observe import Observation, observe

    cluster = load_cluster(path)
    with open_transports(cluster) as transports, ThreadPoolExecutor(1) as pool:
        lab = _lab_is_down(cluster)
        look = None if lab else pool.submit(observe, transports, cluster.name)
        # Nodes take their time to answer; what is to be done here anyway is done meanwhile.
        from hsorch.plan import runtime
        from hsorch.plan.spec import compile_spec

        spec, bundle = compile_spec(cluster), runtime.build()
        names = [server.name for server in cluster.servers]
        seen = look.result() if look else {name: Observation(name, None) for name in names}
        yield Site(path, spec, transports, seen, bundle, lab)


def first_apply(path: Path) -> Plan:
    """The plan for nodes that have nothing yet; asks no node."""
    from hsorch.plan import plan as planning
    from hsorch.plan import runtime
    from hsorch.plan.observe import Observation
    from hsorch.plan.spec import compile_spec

    cluster = load_cluster(path)
    spec = compile_spec(cluster)
    seen = {node.name: Observation(node.name, None) for node in spec.nodes}
    return planning.make(spec, seen, runtime.build(), manifest=str(path), lab=_in_lab(cluster))


def limit_impact(plan: Plan, max_impact: str | None) -> None:
    """Raises RefusedError HS436 when a change costs more than is allowed here."""
    if max_impact is None or plan.impact.name.lower() in IMPACTS[: IMPACTS.index(max_impact) + 1]:
        return
    graver = [
        f"{item.address}: {item.impact}"
        for item in (*plan.items, *plan.drift)
        if IMPACTS.index(item.impact) > IMPACTS.index(max_impact)
    ]
    raise RefusedError(
        f"the plan's impact is {plan.impact.name.lower()}, allowed is {max_impact}; nothing was changed",
        hint="leave these changes for a maintenance window, or raise --max-impact",
        detail="\n".join(graver),
        code="HS436",
    )


def _lab_is_down(cluster: Cluster) -> bool:
    from hsorch.transport.lab import read_state

    return _in_lab(cluster) and read_state(cluster.name) is None


def _in_lab(cluster: Cluster) -> bool:
    from hsorch.manifest.model import LabConnect

    return any(isinstance(server.connect, LabConnect) for server in cluster.servers)
