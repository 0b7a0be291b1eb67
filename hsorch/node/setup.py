"""Makes the agent's world from what is on disk: the one place where its parts are put together."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from hsorch.errors import NodeError
from hsorch.node import clock, enrolment
from hsorch.node.data import DataDriver, Door
from hsorch.node.events import EventLog
from hsorch.node.link.links import Links
from hsorch.node.loop import Loop
from hsorch.node.paths import Paths
from hsorch.node.perform import World
from hsorch.node.resource.runner import Runner
from hsorch.node.store import Loaded, Store
from hsorch.node.system import system
from hsorch.node.system.host import Lock, host
from hsorch.node.watch import Watch
from hsorch.node.watchdogs import Watchdogs
from hsorch.node.witness.register import open_register
from hsorch.spec import Identity, Ip, Spec


@dataclass(frozen=True)
class Setup:
    """What the agent starts from. lock is held for as long as it runs."""

    paths: Paths
    identity: Identity
    lock: Lock
    loaded: Loaded
    incarnation: int
    world: World


def set_up(paths: Paths) -> Setup:
    """Raises NodeError HS603-HS607, HS613: this agent cannot start here, and why."""
    identity, spec, key = enrolment.identity(paths), enrolment.spec(paths), enrolment.key(paths)
    paths.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = host().lock(paths.agent_pid)
    if lock is None:
        raise NodeError(
            f"an agent of cluster {paths.cluster} runs already (pid {host().locked_by(paths.agent_pid)})",
            hint="nothing to do; to restart it, stop the guard's service and start it again",
            code="HS604",
        )
    machine, store = system(), Store(paths.state, paths.incarnation)
    loaded = store.load()
    watch = Watch(paths.watch, machine.boot_id())
    door = Door(paths)
    log = EventLog(paths.events, node=identity.node, group=spec.group.name)
    world = World(
        spec=spec,
        me=identity.node,
        store=store,
        links=links_of(spec, identity, key),
        register=open_register(spec, identity, paths, machine),
        runner=Runner(spec, identity.node, paths, machine, lambda: not watch.passed(clock.now()), door),
        system=machine,
        watchdogs=Watchdogs(watch, machine.dead_man(spec.cluster), virtual_addresses(spec), log),
        watch=watch,
        log=log,
        loop=Loop(),
        data=DataDriver(door) if spec.replication is not None else None,
        door=door,
    )
    return Setup(
        paths=paths,
        identity=identity,
        lock=lock,
        loaded=loaded,
        incarnation=_next_incarnation(store, paths, loaded),
        world=world,
    )


def links_of(spec: Spec, identity: Identity, key: bytes) -> Links:
    """Raises NodeError HS605 for an identity that no installer wrote."""
    try:
        return Links(spec, identity.node, identity.cluster_id, key)
    except ValueError as error:
        raise NodeError(
            f"the identity of this node is damaged: {error}",
            hint="enrol it again: hsorch apply",
            code="HS605",
        ) from error


def virtual_addresses(spec: Spec) -> list[str]:
    """Of the group, without prefix."""
    return [str(ipaddress.ip_interface(r.address).ip) for r in spec.group.resources if isinstance(r, Ip)]


def _next_incarnation(store: Store, paths: Paths, loaded: Loaded) -> int:
    known = loaded.durable.incarnation if loaded.durable is not None else 0
    try:
        return store.next_incarnation(clock.wall() // clock.SECOND, known)
    except OSError as error:
        raise NodeError(
            f"cannot write {paths.incarnation}: {error.strerror}",
            hint=f"free space below {paths.var} and see that root may write there; the guard tries again",
            code="HS613",
        ) from error
