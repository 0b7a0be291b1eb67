"""From a Cluster to the transports of its nodes. The one place that knows both; runs nothing itself."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import assert_never

from hsorch.errors import AuthError
from hsorch.manifest.model import Cluster, LabConnect, LocalConnect, Server, SshConnect
from hsorch.spec import Secret
from hsorch.transport.base import Transport


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


def _ssh(connect: SshConnect, node: str) -> Transport:
    from hsorch.transport.ssh import SshTarget, SshTransport

    key = connect.key or Secret()
    known_hosts = Path(connect.known_hosts) if connect.known_hosts else Path.home() / ".ssh" / "known_hosts"
    return SshTransport(
        SshTarget(
            host=connect.host,
            user=connect.user or getpass.getuser(),
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
