"""Everything a plan needs of this node, in one answer. Reads only."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from typing import TypeVar

import msgspec

from hsorch.errors import NodeError
from hsorch.node.deployment import channel, lock, membership, probe, service
from hsorch.node.deployment.wire import Facts, Machine
from hsorch.node.paths import Paths
from hsorch.spec import WIRE, digest

T = TypeVar("T")


def collect(paths: Paths) -> Facts:
    """Never raises for what is wrong with the cluster's files: that goes into `trouble`."""
    trouble: list[str] = []
    spec = _noted(trouble, lambda: membership.committed_spec(paths))
    staged = _noted(trouble, lambda: membership.staged_spec(paths))
    return Facts(
        machine=msgspec.convert(probe.machine(), Machine, strict=False),
        runtime=_current(paths),
        wire=WIRE,
        identity=_noted(trouble, lambda: membership.identity(paths)),
        key=key_fingerprint(paths),
        channel=channel.fingerprint(paths.channel_certificate),
        channel_peer=channel.fingerprint(paths.channel_peer),
        spec=spec,
        digest=digest(spec) if spec else "",
        staged=digest(staged) if staged else "",
        lock=lock.read(paths),
        service=service.state(paths),
        running=service.running_runtime(paths),
        agent=service.agent_report(paths),
        trouble="\n".join(trouble),
    )


def key_fingerprint(paths: Paths) -> str:
    """Tells two keys apart, reveals nothing of a random one. Empty: no key, or readable by others."""
    try:
        private = not paths.key.stat().st_mode & 0o077
        return hashlib.sha256(paths.key.read_bytes()).hexdigest()[:12] if private else ""
    except FileNotFoundError:
        return ""


def _current(paths: Paths) -> str:
    with contextlib.suppress(OSError):
        return paths.current_runtime.readlink().name
    return ""


def _noted(trouble: list[str], read: Callable[[], T | None]) -> T | None:
    try:
        return read()
    except NodeError as error:
        trouble.append(error.message)
        return None
