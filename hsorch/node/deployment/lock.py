"""The lock that lets one operation at a time change a node. It names its holder and ends by itself.

Taken by linking a finished file into place, which only one of two racers can do. The holder's id opens it
again: an apply that was killed goes on under its own id.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import msgspec

from hsorch.errors import RefusedError
from hsorch.node.deployment.wire import Done, Lock, ReleaseLock, TakeLock
from hsorch.node.paths import Paths
from hsorch.node.store import replace_file


def take(paths: Paths, order: TakeLock) -> Lock:
    """Raises RefusedError HS430 while another operation holds a lock that has not ended."""
    paths.var.mkdir(mode=0o700, parents=True, exist_ok=True)
    now = time.time()
    lock = Lock(
        id=order.id, owner=order.owner, operation=order.operation, since=now, expires=now + order.ttl_s
    )
    content = msgspec.json.encode(lock)
    with contextlib.suppress(FileNotFoundError):
        there = paths.lock.read_bytes()
        held = _decode(there)
        if held.id == order.id:
            replace_file(paths.lock, content, mode=0o600)
            return lock
        if held.expires <= now or held.id == order.steal:
            _break(paths, there, order.id)
    if not _link_into_place(paths.lock, content, order.id):
        raise _held_by(read(paths) or lock)
    return lock


def release(paths: Paths, order: ReleaseLock) -> Done:
    """Give it back; someone else's lock is left alone."""
    held = read(paths)
    if held is None or held.id != order.id:
        return Done(changed=False)
    paths.lock.unlink(missing_ok=True)
    return Done(changed=True)


def require(paths: Paths, lock_id: str) -> None:
    """Raises RefusedError HS431 unless this operation holds the lock: it may have been broken meanwhile."""
    held = read(paths)
    if held is None or held.id != lock_id:
        raise RefusedError(
            f"this operation holds no lock on cluster {paths.cluster} here"
            + (f"; {held.owner} does, for {held.operation}" if held else ""),
            hint="run `hsorch plan` to see what the other operation did, then apply again",
            code="HS431",
        )


def read(paths: Paths) -> Lock | None:
    """Who holds this node. An unreadable lock has ended long ago: it bars nobody's way."""
    try:
        return _decode(paths.lock.read_bytes())
    except FileNotFoundError:
        return None


def _decode(content: bytes) -> Lock:
    try:
        return msgspec.json.decode(content, type=Lock)
    except msgspec.DecodeError:
        return Lock(id="unreadable", owner="nobody", operation="unknown", since=0.0, expires=0.0)


def _break(paths: Paths, held: bytes, breaker: str) -> None:
    """Move it aside; of two racers one moves it, the other finds nothing, or the winner's own lock."""
    aside = paths.lock.with_suffix(f".{breaker}.broken")
    try:
        paths.lock.rename(aside)
    except FileNotFoundError:
        return
    if aside.read_bytes() != held:
        # It was the winner's: give it back, unless a third has come in between.
        with contextlib.suppress(FileExistsError):
            os.link(aside, paths.lock)
    aside.unlink()


def _link_into_place(target: Path, content: bytes, operation: str) -> bool:
    ready = target.with_suffix(f".{operation}.part")
    replace_file(ready, content, mode=0o600)
    try:
        os.link(ready, target)
    except FileExistsError:
        return False
    finally:
        ready.unlink()
    return True


def _held_by(lock: Lock) -> RefusedError:
    age, left = (max(0, round(s)) for s in (time.time() - lock.since, lock.expires - time.time()))
    return RefusedError(
        f"{lock.owner} is changing this pair: {lock.operation}, since {age} s",
        hint=f"wait until it is done; if it died, its lock ends in {left} s, "
        f"or break it now with: --break-lock {lock.id}",
        detail=f"lock {lock.id}",
        code="HS430",
    )
