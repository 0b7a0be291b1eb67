"""The worlds of the planner's tests: a manifest, what was committed before, and nodes in a few words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import yaml

from hsorch.manifest.load import load
from hsorch.node.deployment.wire import Facts, Lock, Machine
from hsorch.plan.journal import Pending
from hsorch.plan.model import Plan
from hsorch.plan.observe import Observation
from hsorch.plan.plan import make
from hsorch.plan.runtime import Runtime
from hsorch.plan.spec import compile_spec
from hsorch.spec import WIRE, Identity, Spec, digest
from hsorch.verbs import ResourceReport, StatusReport

HERE = Path(__file__).parent
RUNTIME = Runtime("1.0.0-new", "0" * 64, b"", ".cpython-311-x86_64-linux-gnu.so")


def spec_of(folder: Path, changes: dict[str, Any]) -> Spec:
    """pair.yaml with some keys changed; a key is a dotted path, None removes it."""
    manifest = yaml.safe_load((HERE / "pair.yaml").read_text())
    for path, value in changes.items():
        *parents, last = path.split(".")
        at = manifest
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
        if value is None:
            del at[last]
    file = folder / "cluster.yaml"
    file.write_text(yaml.safe_dump(manifest, sort_keys=False))
    loaded = load(file)
    assert loaded.cluster is not None, loaded.diagnostics
    return compile_spec(loaded.cluster)


def plan_of(case: dict[str, Any], folder: Path) -> Plan:
    """`committed` and `wanted` are changes of pair.yaml; without `committed` the nodes are fresh."""
    committed = spec_of(folder, case["committed"]) if "committed" in case else None
    wanted = spec_of(folder, case.get("wanted", case.get("committed", {})))
    words = case.get("nodes", {})
    seen = {n.name: observation(n.name, committed, words.get(n.name, {})) for n in wanted.nodes}
    pending = None
    if "stopped_apply" in case:
        before = make(wanted, {n: Observation(n, None) for n in seen}, RUNTIME)
        pending = Pending(id="op-1", plan=before, done=frozenset(case["stopped_apply"]))
    lab = bool(case.get("lab"))
    if lab:
        seen = {name: Observation(name, None) for name in seen}
    return make(wanted, seen, RUNTIME, lab=lab, pending=pending)


def observation(name: str, committed: Spec | None, words: dict[str, Any]) -> Observation:
    """A node as it is after a sound apply, or a bare machine without `committed`, but for what words say."""
    machine = _machine(name, words)
    if committed is None:
        return Observation(name, Facts(machine=machine))
    spec = msgspec.structs.replace(committed, revision=words.get("revision", 1))
    identity = Identity(cluster="demo", cluster_id="c" * 32, node=words.get("calls_itself", name))
    service = words.get("service", "running")
    locked = words.get("locked_by")
    return Observation(
        name,
        Facts(
            machine=machine,
            runtime=words.get("runtime", RUNTIME.name),
            wire=WIRE,
            identity=identity,
            key=words.get("key", "abc"),
            channel=words.get("channel", f"cert of {name}"),
            channel_peer=words.get("channel_peer", f"cert of {'node-b' if name == 'node-a' else 'node-a'}"),
            spec=spec,
            digest=digest(spec),
            lock=lock(locked) if locked else None,
            service=service,
            running=words.get("runtime", RUNTIME.name) if service == "running" else "",
            agent=report(name, spec, words)
            if service == "running" and words.get("agent") != "silent"
            else None,
        ),
    )


def lock(holder: str) -> Lock:
    return Lock(id=holder, owner="ann@desk", operation="apply of revision 2", since=1000.0, expires=2000.0)


def report(name: str, spec: Spec, words: dict[str, Any]) -> StatusReport:
    active = words.get("active", "")
    running = "running" if active == name else "stopped"
    return StatusReport(
        cluster="demo",
        node=name,
        peer="",
        version="1.0.0",
        wire=WIRE,
        revision=words.get("agent_revision", spec.revision),
        digest=digest(spec),
        role="active" if active == name else "standby",
        epoch_major=0,
        epoch_minor=0,
        holder=active,
        solo=False,
        active=active,
        up=bool(active),
        protected=bool(active),
        desired=words.get("desired", "in" if active else "out"),
        maintenance=False,
        stale=False,
        peer_seen=True,
        peer_role="",
        witness="ok",
        assurance="kernel",
        guard_alive=True,
        resources=tuple(ResourceReport(name=r.name, kind="ip", status=running) for r in spec.group.resources),
    )


def _machine(name: str, words: dict[str, Any]) -> Machine:
    last = "1" if name == "node-a" else "2"
    nics = {"eth0": (f"10.77.0.1{last}/24",), "eth1": (f"192.168.50.{last}/30",), "lo": ("127.0.0.1/8",)}
    usual: dict[str, Any] = {
        "hostname": name,
        "administrator": True,
        "python": "/usr/bin/python3.11",
        "version": (3, 11),
        "extensions": RUNTIME.extensions,
        "wall": 1500.0,
        "systemd": True,
        "disk_free": 10**10,
        "nics": nics,
        "tools": {"nft": "/usr/sbin/nft", "openssl": "/usr/bin/openssl"},
        "fuse": True,
    }
    return msgspec.convert({**usual, **words.get("machine", {})}, Machine, strict=False)
