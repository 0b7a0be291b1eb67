"""Whether a node that was the source may follow the other one by itself, or waits for an operator's word.

Following overwrites what only this node has. The policy allows it, or not (REQ-G05, REQ-G10); an operator's
word makes the node a target once, and from then on it is no longer the one that was the source.
"""

from __future__ import annotations

from hsorch.errors import RefusedError
from hsorch.node.replication.ground import kept
from hsorch.node.replication.meta import Meta, recall
from hsorch.node.replication.setup import Places, Setup


class Held(RefusedError):
    """The node that was the source waits for an operator's word."""

    code = "HS637"


def refuse_unasked(places: Places, setup: Setup) -> None:
    """Raises Held: it waits. NodeError HS639, OSError: the durable state cannot be read."""
    if not places.meta.exists():
        return
    meta = kept(lambda file: recall(file, setup.job), places.meta).value
    if meta.role != "source" or not meta.generations.current:
        return
    if has_handed_over(meta):
        if not setup.returns.switch:
            raise _held(setup, "was active before the switch", "auto_resync_after_switch")
    elif not setup.returns.takeover:
        why = "was active before the takeover, and may hold what the other node never got"
        raise _held(setup, why, "reverse_replication")


def has_handed_over(meta: Meta) -> bool:
    """The other node had everything when this one stopped."""
    return meta.clean and meta.protected_until >= meta.generations.end


def _held(setup: Setup, why: str, key: str) -> Held:
    return Held(
        f"{setup.node} {why}: it is not overwritten by itself (policy.{key})",
        hint="hsorch resync --survey shows what it would lose; hsorch resync lets it follow",
    )
