"""Cluster → Spec: what a manifest means, put as the wire contract says it. Pure.

Not a check: a Cluster that load() hands out has broken no rule.
"""

from __future__ import annotations

from typing import Any

import msgspec
import networkx as nx

from hsorch import spec
from hsorch.manifest import model

DATA_LIMIT_MS = 60_000
"""A takeover applies what is spooled first; a release waits until the standby has everything."""


def compile_spec(cluster: model.Cluster) -> spec.Spec:
    """The pair's Spec at revision 0; equal manifests give equal bytes."""
    first, second = cluster.servers
    return spec.Spec(
        cluster=cluster.name,
        nodes=(_node(first), _node(second)),
        preferred=cluster.preferred,
        links=tuple(_link(link) for link in cluster.links),
        witness=cluster.witness,
        group=spec.Group(
            name=cluster.group.name,
            desired_state=cluster.group.desired_state,
            resources=_resources(cluster),
        ),
        policy=_policy(cluster.policy),
        replication=_replication(cluster),
    )


def data_resource(group: str) -> str:
    """Name of the resource that stands for the group's data."""
    return f"Data-{''.join(group.split())}"


def start_order(group: model.Group) -> list[model.AnyResource]:
    """What is depended on comes first; among equals the order of the manifest decides (REQ-D03, REQ-F08)."""
    place = {resource.name: index for index, resource in enumerate(group.resources)}
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(place)
    graph.add_edges_from((below, r.name) for r in group.resources for below in r.depends_on)
    order = nx.lexicographical_topological_sort(graph, key=place.__getitem__)
    return [group.resources[place[name]] for name in order]


def _resources(cluster: model.Cluster) -> tuple[spec.AnyResource, ...]:
    """In start order. Replicated data come first, and all that stood on nothing stands on them."""
    found = tuple(_resource(resource) for resource in start_order(cluster.group))
    if cluster.replication is None:
        return found
    name = data_resource(cluster.group.name)
    stand = (r if r.depends_on else msgspec.structs.replace(r, depends_on=(name,)) for r in found)
    data = spec.Data(name=name, start_limit_ms=DATA_LIMIT_MS, stop_limit_ms=DATA_LIMIT_MS, restarts=1)
    return (data, *stand)


def _replication(cluster: model.Cluster) -> spec.Replication | None:
    wanted = cluster.replication
    if wanted is None:
        return None
    return spec.Replication(
        bindings=wanted.bindings,
        port=wanted.port,
        ack=wanted.ack if cluster.policy.takeover == "complete" else "none",
        warn_bytes=wanted.warn,
        stop_bytes=wanted.stop,
    )


def _node(server: model.Server) -> spec.Node:
    nics = {role: spec.Nic(name=nic.name, address=str(nic.address)) for role, nic in server.nics.items()}
    return spec.Node(name=server.name, alias=server.alias, nics=nics)


def _link(link: model.Link) -> spec.Link:
    return spec.Link(
        name=link.name,
        nic=link.nic,
        port=link.port,
        interval_ms=link.interval,
        max_missed=link.max_missed,
        data=link.data,
    )


def _resource(resource: model.AnyResource) -> spec.AnyResource:
    common: dict[str, Any] = {
        "name": resource.name,
        "depends_on": resource.depends_on,
        "start_limit_ms": resource.start_limit,
        "stop_limit_ms": resource.stop_limit,
        "check_interval_ms": resource.health.interval,
        "check_limit_ms": resource.health.timeout,
        "max_check_failures": resource.health.max_failures,
        "restarts": resource.restarts,
    }
    match resource:
        case model.Vip():
            return spec.Ip(
                address=str(resource.address),
                nic=resource.nic,
                virtual_mac=resource.virtual_mac,
                announcements=resource.announcements,
                **common,
            )
        case model.Service():
            return spec.Service(unit=resource.unit, probe=resource.health.check, **common)
        case model.Process():
            return spec.Process(
                argv=resource.command,
                directory=resource.directory,
                user=resource.user,
                environment=dict(resource.environment),
                probe=resource.health.check,
                **common,
            )
        case model.Script():
            return spec.Script(
                start=resource.start,
                stop=resource.stop,
                check=resource.check,
                required=resource.required,
                run_stop_after_unclean=resource.run_stop_after_unclean,
                **common,
            )
        case model.Probe():
            if resource.health.check is None:
                raise ValueError(f"probe {resource.name} has nothing to check")
            return spec.Probe(check=resource.health.check, **common)


def _policy(policy: model.Policy) -> spec.Policy:
    return spec.Policy(
        lease_ms=policy.lease,
        fence_ms=policy.fence,
        suspect_ms=policy.suspect,
        drift_ppm=model.DRIFT_PPM,
        slack_ms=policy.slack,
        start_wait_ms=policy.start_wait,
        witness_timeout_ms=policy.witness_timeout,
        witness_lost=policy.witness_lost,
        witness_lost_after_ms=policy.witness_lost_after,
        takeover=policy.takeover,
        on_resource_error=policy.on_resource_error,
        on_conflict=policy.on_conflict,
        max_failovers=policy.max_failovers,
        failover_window_ms=policy.failover_window,
        reverse_replication=policy.reverse_replication,
        auto_resync_after_switch=policy.auto_resync_after_switch,
        isolation=spec.Isolation(
            addresses=policy.isolation.addresses,
            max_missed=policy.isolation.max_missed,
            timeout_ms=policy.isolation.timeout,
        ),
    )
