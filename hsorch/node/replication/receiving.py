"""The loop of a target: one channel, one bound tree after the other, until the source goes away.

What is done with a message is landing.py's business; who may connect at all is the replicator's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

from hsorch.errors import HsorchError, NodeError
from hsorch.node.replication.ahead import Ahead
from hsorch.node.replication.flushing import Refusals
from hsorch.node.replication.landing import Landing
from hsorch.node.replication.massguard import MassGuard
from hsorch.node.replication.messages import Message, Refused, Task
from hsorch.node.replication.placing import Stood
from hsorch.node.replication.wire import Broken, Channel

HEARD_S = 10.0
"""By then a source has heard why it was refused, and closed the channel."""
Began = Callable[[Task], str]
"""began(task): the root at this node, once its new state is durable. Raises NodeError to refuse."""
Stands = Callable[[Task], Stood]
"""stands(task): what lies there by now."""
Ended = Callable[[Task], None]
"""ended(task): a whole tree is equal and on stable storage."""


def serve(
    channel: Channel,
    began: Began,
    *,
    guard: Mapping[str, MassGuard] | None = None,
    stands: Stands = lambda task: Stood(),
    ended: Ended | None = None,
    refusals: Refusals | None = None,
    written: Callable[[], None] = lambda: None,
) -> None:
    """guard: by bound path, as it must outlive a channel; a fresh one where there is none.
    written(): nothing more is; what is left to the disk may take long.

    Returns when the channel is closed, by the source or here: what came and was not begun by then is left
    out, and staging keeps what was.

    Raises OSError and NodeError after telling the source why.
    """
    landing: Landing | None = None

    def reply(message: Message) -> None:
        channel.send(message)

    ahead = Ahead(channel)
    try:
        while not channel.closed:
            frame = ahead.next()
            if frame is None or channel.closed:
                continue
            if isinstance(frame.message, Task):
                if landing is not None:
                    landing.settle()
                    landing.close()
                landing = None
                root = began(frame.message)
                weighs = (guard or {}).get(frame.message.binding.path) or MassGuard()
                stood = stands(frame.message)
                landing = Landing(root, frame.message, reply, guard=weighs, stood=stood, refusals=refusals)
            elif landing is not None:
                landing.take(frame.message, frame.body)
                if ended is not None and landing.equal:
                    ended(landing.task)
            else:
                raise NodeError("the peer sent files before it said of which tree", hint="Restart the peer.")
    except Broken:
        return
    except (OSError, NodeError) as error:
        refuse(channel, ahead, error)
        raise
    finally:
        ahead.end()
        written()
        if landing is not None:
            with contextlib.suppress(OSError):  # it is remembered, and nobody would hear of it later
                landing.settle()
            landing.close()


def refuse(channel: Channel, ahead: Ahead, error: OSError | HsorchError) -> None:
    """Tell the source why, and let it hear that."""
    if isinstance(error, HsorchError):
        why = error.message
    else:
        why = f"{error.strerror or error} ({error.filename or 'a file on its way'})"
    try:
        channel.send(Refused(why=why))
    except Broken:
        return
    ahead.drain(HEARD_S)
