"""What stands in the way, found before anything is changed: one function per family, all at once. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from hsorch.node.deployment.wire import Facts
from hsorch.plan.model import Problem
from hsorch.plan.observe import Observation
from hsorch.plan.runtime import Runtime
from hsorch.spec import WIRE, Service, Spec

DISK_NEEDED = 200 * 1024 * 1024
CLOCK_SKEW_S = 5.0

Check = Callable[[str, Facts, Spec, Runtime], Iterator[Problem]]


def find(
    seen: Mapping[str, Observation], spec: Spec, runtime: Runtime, operation: str = ""
) -> tuple[Problem, ...]:
    """Errors first, then warnings; nodes in the manifest's order. operation: whose locks are our own."""
    facts = {name: o.facts for name, o in seen.items() if o.facts is not None}
    found = [p for name, f in facts.items() for check in CHECKS for p in check(name, f, spec, runtime)]
    found += [p for name, f in facts.items() for p in _lock(name, f, operation)]
    found += _between(facts)
    return tuple(sorted(found, key=lambda problem: problem.severity))


def _rights(node: str, facts: Facts, spec: Spec, runtime: Runtime) -> Iterator[Problem]:
    if not facts.machine.administrator:
        yield _error(
            "HS405", node, f"the login on {node} is not root", "connect as root, or set `sudo: true`"
        )


def _python(node: str, facts: Facts, spec: Spec, runtime: Runtime) -> Iterator[Problem]:
    if facts.runtime != runtime.name and facts.machine.extensions != runtime.extensions:
        major, minor = facts.machine.version
        yield _error(
            "HS404",
            node,
            f"{node} has Python {major}.{minor} ({facts.machine.extensions}); "
            f"this hsorch brings a runtime for {runtime.extensions}",
            f"install the same Python on {node}, or run hsorch itself with Python {major}.{minor}",
        )


def _wire(node: str, facts: Facts, spec: Spec, runtime: Runtime) -> Iterator[Problem]:
    if facts.wire > WIRE:
        yield _error(
            "HS413",
            node,
            f"{node} runs a newer hsorch (wire version {facts.wire}, here {WIRE})",
            "apply with a hsorch at least as new as the one that runs there",
        )


def _membership(node: str, facts: Facts, spec: Spec, runtime: Runtime) -> Iterator[Problem]:
    known = facts.identity
    if known is not None and known.node != node:
        yield _error(
            "HS403",
            node,
            f"the machine that `connect` of {node} reaches is {known.node} of the pair {known.cluster}",
            f"check the addresses under `connect`; or make {known.node} leave its pair first",
        )


def _nics(node: str, facts: Facts, spec: Spec, runtime: Runtime) -> Iterator[Problem]:
    present = facts.machine.nics
    for role, nic in spec.node(node).nics.items():
        if nic.name not in present:
            yield _error(
                "HS406",
                node,
                f"{node} has no interface {nic.name} (nics.{role})",
                f"it has: {', '.join(sorted(present))}; correct the name in the manifest",
            )
        elif nic.address not in present[nic.name]:
            yield _warning(
                "HS407",
                node,
                f"{nic.name} of {node} does not have the address {nic.address}",
                f"it has: {', '.join(present[nic.name]) or 'none'}; heartbeats wait for the address",
            )


def _ports(node: str, facts: Facts, spec: Spec, runtime: Runtime) -> Iterator[Problem]:
    if facts.service == "running" or facts.agent is not None:
        return
    for port in sorted({link.port for link in spec.links} & facts.machine.udp_ports.keys()):
        yield _error(
            "HS408",
            node,
            f"UDP port {port} on {node} is taken by {facts.machine.udp_ports[port]}",
            "stop that program, or give the links another port in the manifest",
        )


def _replication(node: str, facts: Facts, spec: Spec, runtime: Runtime) -> Iterator[Problem]:
    if spec.replication is None:
        return
    machine, port = facts.machine, spec.replication.port
    if not machine.fuse and any(b.kind == "ordered" for b in spec.replication.bindings):
        yield _error(
            "HS417",
            node,
            f"{node} cannot mount over folders (FUSE): nothing can be replicated in order there",
            "install it: apt-get install fuse3 libfuse3-3; in a container, let it see /dev/fuse",
        )
    if "openssl" not in machine.tools:
        yield _error("HS416", node, f"{node} has no openssl to make its key", "apt-get install openssl")
    if facts.service != "running" and port in machine.tcp_ports:
        yield _error(
            "HS408",
            node,
            f"TCP port {port} on {node} is taken by {machine.tcp_ports[port]}",
            "stop that program, or give `replication` another port in the manifest",
        )


def _disk(node: str, facts: Facts, spec: Spec, runtime: Runtime) -> Iterator[Problem]:
    if facts.machine.disk_free < DISK_NEEDED:
        free = facts.machine.disk_free // (1024 * 1024)
        yield _error(
            "HS409",
            node,
            f"{node} has {free} MiB left where /var/lib/hsorch is; {DISK_NEEDED // (1024 * 1024)} are needed",
            "free some space there",
        )


def _tools(node: str, facts: Facts, spec: Spec, runtime: Runtime) -> Iterator[Problem]:
    if "nft" not in facts.machine.tools:
        yield _warning(
            "HS414",
            node,
            f"{node} has no nftables: a node whose programs all freeze can't be cut off by its kernel",
            "install it: apt-get install nftables",
        )


def _at_boot(node: str, facts: Facts, spec: Spec, runtime: Runtime) -> Iterator[Problem]:
    """REQ-D31: a protected service that starts at boot would run on the standby too."""
    for resource in spec.group.resources:
        if not isinstance(resource, Service):
            continue
        for unit in {resource.unit, f"{resource.unit}.service"} & set(facts.machine.at_boot):
            yield _error(
                "HS415",
                node,
                f"{unit} starts at boot on {node} by itself, also when the other node runs the group",
                f"leave its start to hsorch: run on {node}: systemctl disable {unit}",
            )


def _trouble(node: str, facts: Facts, spec: Spec, runtime: Runtime) -> Iterator[Problem]:
    if facts.trouble:
        yield _warning("HS442", node, f"{node}: {facts.trouble}", "apply writes it anew from the manifest")


def _lock(node: str, facts: Facts, operation: str) -> Iterator[Problem]:
    lock = facts.lock
    if lock is not None and lock.id != operation and lock.expires > facts.machine.wall:
        yield _warning(
            "HS430",
            node,
            f"{lock.owner} is changing {node}: {lock.operation}",
            f"wait, or if it died: --break-lock {lock.id}",
        )


def _between(facts: Mapping[str, Facts]) -> Iterator[Problem]:
    if len(facts) < 2:
        return
    (one, first), (other, second) = facts.items()
    if first.identity and second.identity and first.identity.cluster_id != second.identity.cluster_id:
        yield _error(
            "HS403",
            other,
            f"{one} and {other} belong to different pairs of the same name",
            "check `connect` of both servers; make the one that is wrong leave its pair first",
        )
    skew = abs(first.machine.wall - second.machine.wall)
    if skew > CLOCK_SKEW_S:
        yield _warning(
            "HS412",
            other,
            f"the clocks of {one} and {other} are {skew:.0f} s apart",
            "run a time service on both; leases do not need it, reading the logs does",
        )


CHECKS: tuple[Check, ...] = (
    _rights,
    _python,
    _wire,
    _membership,
    _nics,
    _ports,
    _replication,
    _disk,
    _tools,
    _at_boot,
    _trouble,
)


def _error(code: str, node: str, message: str, hint: str) -> Problem:
    return Problem(code=code, severity="error", node=node, message=message, hint=hint)


def _warning(code: str, node: str, message: str, hint: str) -> Problem:
    return Problem(code=code, severity="warning", node=node, message=message, hint=hint)
