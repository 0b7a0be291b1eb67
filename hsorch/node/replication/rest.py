"""How things stand where no part is played: read from what the last one left on the disk."""

from __future__ import annotations

from hsorch.node.replication.meta import MetaFile
from hsorch.node.replication.orders import ReplicationStatus
from hsorch.node.replication.setup import Places, Setup


def at_rest(places: Places, setup: Setup) -> ReplicationStatus:
    """A node whose durable state is torn says a fault, one that has none says nothing at all."""
    plain = ReplicationStatus(role="none", state="stopped", mode=setup.level)
    try:
        meta = MetaFile(places.meta).value
    except FileNotFoundError:
        return plain
    except (OSError, ValueError) as error:
        return ReplicationStatus(role="none", state="stopped", mode=setup.level, fault=str(error))
    lineage = meta.generations
    return ReplicationStatus(
        role="none",
        state="stopped",
        mode=setup.level,
        was=meta.role,
        consistent=meta.consistent,
        generation=lineage.current,
        ancestors=tuple(fork.generation for fork in lineage.ancestors()),
        lsn=lineage.end,
        guarded=meta.role == "target" and meta.guarded,
        verify_needed=meta.verify_needed,
    )
