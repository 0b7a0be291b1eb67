"""The pair's identity and key for one apply: taken from a node that has them, made anew only when none has.

The key lives on the nodes alone (0600); it passes through this process, never into a plan, journal or log.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from hsorch.errors import NodeError, TransportError
from hsorch.node.paths import Paths
from hsorch.spec import Identity
from hsorch.transport.base import Transport

FILE_CODE = "HS503"
_KEY = re.compile(rb"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Secret:
    cluster_id: str
    key: str = field(repr=False)
    joins: bool
    """A node has it already, so the pair may have run: a node without a state joins, it founds nothing."""


class Enrolment:
    """Resolved once, at the first node that is enrolled; both nodes get the same."""

    def __init__(self, cluster: str, transports: Mapping[str, Transport]) -> None:
        self._paths = Paths(cluster)
        self._transports = transports
        self._lock = threading.Lock()
        self._secret: Secret | None = None

    def get(self) -> Secret:
        with self._lock:
            if self._secret is None:
                self._secret = self._find_or_make()
            return self._secret

    def _find_or_make(self) -> Secret:
        """What one node has whole serves both; torn on every node that has it, nobody guesses."""
        identities = [self._read(door, self._paths.identity.as_posix()) for door in self._transports.values()]
        keys = [self._read(door, self._paths.key.as_posix()) for door in self._transports.values()]
        known = [identity for content in identities if content and (identity := _decode(content))]
        whole = [key.decode() for key in keys if _KEY.fullmatch(key)]
        for name, found, intact in (("identity.json", identities, known), ("key", keys, whole)):
            if any(found) and not intact:
                raise NodeError(
                    f"the {name} of the pair is damaged on every node that has one",
                    hint="make both nodes leave the pair (hsorch-node leave) and apply again",
                    code="HS442",
                )
        return Secret(
            cluster_id=known[0].cluster_id if known else secrets.token_hex(16),
            key=whole[0] if whole else secrets.token_hex(32),
            joins=bool(known),
        )

    def _read(self, transport: Transport, path: str) -> bytes:
        try:
            return transport.get(path)
        except TransportError as error:
            if error.code == FILE_CODE:
                return b""
            raise


def _decode(content: bytes) -> Identity | None:
    """None: torn."""
    try:
        return msgspec.json.decode(content, type=Identity)
    except msgspec.DecodeError:
        return None
