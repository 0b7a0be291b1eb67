"""What two replicators say to each other (heads of frames, wire.py). Values only.

A channel serves one purpose, named in its Hello. Bulk bytes travel as the frame's body, never in the head.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from hsorch.node.replication.generations import Lineage
from hsorch.node.replication.meta import Place

VERSION = 1


class Said(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of all messages; the name of the class is its tag."""


class Hello(Said, frozen=True, kw_only=True):
    """First message of the node that connected, and the answer of the other one."""

    version: int = VERSION
    job: bytes
    node: str
    purpose: Literal["stream", "mirror", "verify", "watched"]
    epoch: tuple[int, int] = (0, 0)
    """Of the failover core: a lower one has no say any more (failover rule 11)."""
    lineage: Lineage = Lineage()
    end: Place = Place()
    """Where this node's journal or spool ends."""


class Refused(Said, frozen=True, kw_only=True):
    """The sender of this closes the channel; why is for an operator."""

    why: str


class Begin(Said, frozen=True, kw_only=True):
    """The source streams from here on; the standby's spool must end at exactly this place."""

    at: Place
    fresh: bool = False
    """True: the standby forgets its spool and starts at this place (a mirror follows)."""


class Data(Said, frozen=True, kw_only=True):
    """Body: whole records, the first of which is number lsn."""

    lsn: int


class Ack(Said, frozen=True, kw_only=True):
    """Three ends of the same prefix at the standby: spooled, on stable storage there, in the bound files."""

    received: int
    durable: int
    applied: int


Message = Hello | Refused | Begin | Data | Ack
