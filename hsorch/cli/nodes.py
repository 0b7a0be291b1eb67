"""From a manifest to the nodes' doors: transports, and verbs asked through them.

Not here: what is asked, and what the answers mean.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, assert_never

import msgspec

from hsorch.cli.options import find_manifest, var_files
from hsorch.cli.pairview import NodeView, PairView
from hsorch.errors import AuthError, HsorchError, ManifestInvalid, UsageError
from hsorch.manifest.model import Cluster, LabConnect, LocalConnect, Server, SshConnect
from hsorch.node.operate import Ask
from hsorch.plan.actor import login_name
from hsorch.spec import Identity, Secret
from hsorch.transport import door
from hsorch.transport.base import Transport
from hsorch.verbs import StatusReport

HOME = Path("/var/lib/hsorch")
log = logging.getLogger("hsorch")

T = TypeVar("T")


@dataclass(frozen=True)
class Pair:
    """A pair that can be asked. With --here only one of the two nodes is in `nodes`."""

    cluster: str
    nodes: Mapping[str, Transport]

    def ask(
        self, node: str, verb: str, request: msgspec.Struct, kind: type[T], *, timeout: float = 10.0
    ) -> T:
        """One verb at one node; `kind` is the type of its answer. timeout in seconds.

        Raises what the transport raises, and with the node's own code what the verb refused or failed at.
        """
        log.debug("ask %s: %s", node, verb)
        return door.ask(self.nodes[node], node, verb, request, kind, timeout=timeout)

    def ask_all(
        self, verb: str, request: msgspec.Struct, kind: type[T], *, timeout: float = 10.0
    ) -> dict[str, T | HsorchError]:
        """The same verb at every node at once; a node that fails gives its error instead of an answer."""
        return self.ask_each(verb, dict.fromkeys(self.nodes, request), kind, timeout=timeout)

    def ask_each(
        self, verb: str, requests: Mapping[str, msgspec.Struct], kind: type[T], *, timeout: float = 10.0
    ) -> dict[str, T | HsorchError]:
        """As ask_all, with a request for each node."""

        def one(node: str) -> T | HsorchError:
            try:
                return self.ask(node, verb, requests[node], kind, timeout=timeout)
            except HsorchError as error:
                return error

        with ThreadPoolExecutor(len(requests)) as pool:
            return dict(zip(requests, pool.map(one, requests), strict=True))


def look(pair: Pair) -> PairView:
    """Ask both nodes for their status at once; a node that can't be asked is part of the view."""
    answers = pair.ask_all("status", Ask(cluster=pair.cluster), StatusReport)
    return PairView(pair.cluster, tuple(NodeView(name, answer) for name, answer in answers.items()))


@contextmanager
def open_pair(manifest: str | None, *, here: bool) -> Iterator[Pair]:
    """The pair of a manifest, or with here=True the one that this machine is a node of.

    Raises UsageError when it is not clear which pair is meant, ManifestInvalid for a faulty manifest.
    """
    if here:
        if manifest is not None:
            raise UsageError(
                "a manifest and --here contradict each other",
                hint="name the manifest on a controller; say --here on a node",
                code="HS906",
            )
        from hsorch.transport.local import LocalTransport

        identity = _identity(HOME)
        yield Pair(identity.cluster, {identity.node: LocalTransport()})
        return
    cluster = load_cluster(find_manifest(manifest))
    with open_transports(cluster) as transports:
        yield Pair(cluster.name, transports)


def load_cluster(path: Path) -> Cluster:
    """The Cluster of a manifest without errors. Raises ManifestInvalid that lists what is wrong."""
    from hsorch.manifest.load import load

    loaded = load(path, var_files=var_files())
    if loaded.cluster is None:
        found = [f"{d.span.file}:{d.span.line}:{d.span.column}: {d.code} {d.message}" for d in loaded.errors]
        raise ManifestInvalid(
            f"{path} has {len(found)} error{'s' if len(found) != 1 else ''}",
            hint=f"see them with their help: hsorch validate {path}",
            detail="\n".join(found[:10]),
        )
    return loaded.cluster


@contextmanager
def open_transports(cluster: Cluster) -> Iterator[dict[str, Transport]]:
    """Transport of each node by name, closed at the end. Nothing connects before the first use."""
    transports = {server.name: transport_of(cluster, server) for server in cluster.servers}
    try:
        yield transports
    finally:
        for transport in transports.values():
            transport.close()


def transport_of(cluster: Cluster, server: Server) -> Transport:
    """The transport that `connect` asks for. Raises AuthError when its key can't be read here."""
    connect = server.connect
    match connect:
        case LabConnect():
            from hsorch.transport.lab import LabTransport

            return LabTransport(cluster.name, server.name)
        case LocalConnect():
            from hsorch.transport.local import LocalTransport

            return LocalTransport()
        case SshConnect():
            return _ssh(connect, server.name)
        case _:
            assert_never(connect)


def _identity(home: Path) -> Identity:
    found = sorted(home.glob("*/identity.json"))
    if len(found) != 1:
        raise UsageError(
            "this machine is a node of no pair"
            if not found
            else f"this machine is a node of several pairs: {', '.join(path.parent.name for path in found)}",
            hint="name a manifest instead of --here",
            code="HS907",
        )
    return msgspec.json.decode(found[0].read_bytes(), type=Identity)


def _ssh(connect: SshConnect, node: str) -> Transport:
    from hsorch.transport.ssh import SshTarget, SshTransport

    key = connect.key or Secret()
    known_hosts = Path(connect.known_hosts) if connect.known_hosts else Path.home() / ".ssh" / "known_hosts"
    return SshTransport(
        SshTarget(
            host=connect.host,
            user=connect.user or login_name(),
            known_hosts=known_hosts,
            port=connect.port,
            key_file=Path(key.file) if key.file else None,
            key_text=_from_environment(key.env, node) if key.env else "",
            sudo=connect.sudo,
        )
    )


def _from_environment(name: str, node: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise AuthError(
            f"the SSH key of {node} is to come from the environment variable {name}, which is not set",
            hint=f"set {name} to the text of the private key, or use key: {{file: ...}}",
            code="HS930",
        )
    return value
