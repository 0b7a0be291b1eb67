"""Which pair this node belongs to and what it is to be: enroll, stage, commit, abort, leave.

A spec comes in two phases. Staged on both nodes it binds nobody; committed it is in force, and only a higher
revision replaces it. Everything is safe to repeat; every file is replaced whole.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path
from typing import TypeVar

import msgspec

from hsorch.errors import NodeError, RefusedError
from hsorch.node.deployment import channel, lock
from hsorch.node.deployment.wire import Abort, Commit, Done, Enroll, Leave, Stage
from hsorch.node.paths import Paths
from hsorch.node.store import replace_file
from hsorch.spec import WIRE, Binding, Identity, Spec, digest, encode

T = TypeVar("T")
_KEY = re.compile(rb"[0-9a-f]{64}")


def enroll(paths: Paths, order: Enroll) -> Done:
    """Raises RefusedError HS432 when this node belongs to another pair, or is another node of this one;
    NodeError HS442 when it can't say which, because its identity is torn and its key is not the pair's."""
    key = order.key.encode()
    held = paths.key.read_bytes() if paths.key.is_file() else b""
    foreign = held != key and _KEY.fullmatch(held) is not None
    known = _identity_beside_foreign_key(paths) if foreign else _identity_unless_torn(paths)
    if known is not None and known != order.identity:
        raise RefusedError(
            f"this machine already is {known.node} of the pair {known.cluster} (id {known.cluster_id[:8]}), "
            f"not {order.identity.node} of {order.identity.cluster} (id {order.identity.cluster_id[:8]})",
            hint="check `connect` of both servers in the manifest; to give the machine up for a new pair, "
            f'run on it: hsorch-node leave, with {{"cluster": "{known.cluster}"}} on stdin',
            code="HS432",
        )
    if known is not None and held == key:
        return Done(changed=False)
    paths.var.mkdir(mode=0o700, parents=True, exist_ok=True)
    if order.joins and not paths.state.exists() and not paths.incarnation.exists():
        # A machine with an empty disk is no founder: as one it would take an old win at the witness for its
        # own. A counter without a state says that the state is lost, and the peer has to tell it.
        replace_file(paths.incarnation, b"0", mode=0o600)
    replace_file(paths.key, key, mode=0o600)
    replace_file(paths.identity, encode(order.identity), mode=0o600)
    return Done(changed=True)


def stage(paths: Paths, order: Stage) -> Done:
    """Raises RefusedError for a spec that is not for this node, is older than the committed one, or binds
    folders that are not here."""
    lock.require(paths, order.lock)
    spec, known, committed = order.spec, identity(paths), _readable_spec(paths)
    if spec.wire != WIRE:
        raise RefusedError(
            f"the spec speaks wire version {spec.wire}, the runtime of this node {WIRE}",
            hint="apply with the hsorch that shall run on both nodes; it installs its own runtime first",
            code="HS433",
        )
    if known is None or known.node not in {node.name for node in spec.nodes}:
        who = known.node if known else "not enrolled"
        raise RefusedError(
            f"this machine is {who}; the spec is for {' and '.join(node.name for node in spec.nodes)}",
            hint="check `servers` and `connect` in the manifest, then plan again",
            code="HS432",
        )
    if committed is not None and spec.revision <= committed.revision:
        if spec == committed:
            return Done(changed=False)
        raise RefusedError(
            f"revision {committed.revision} is already committed here; the staged one is {spec.revision}",
            hint="somebody else applied meanwhile: run `hsorch plan` again",
            code="HS434",
        )
    _must_have_folders(known.node, spec, committed)
    replace_file(paths.staged, encode(spec), mode=0o600)
    return Done(changed=True)


def commit(paths: Paths, order: Commit) -> Done:
    """Put the staged spec in force. Raises NodeError HS441 when what is staged is not what is meant."""
    lock.require(paths, order.lock)
    committed = _readable_spec(paths)
    if committed is not None and (committed.revision, digest(committed)) == (order.revision, order.digest):
        paths.staged.unlink(missing_ok=True)
        return Done(changed=False)
    staged = staged_spec(paths)
    if staged is None or (staged.revision, digest(staged)) != (order.revision, order.digest):
        raise NodeError(
            f"revision {order.revision} is not staged here",
            hint="run `hsorch apply` again; it stages on both nodes first",
            code="HS441",
        )
    if (known := identity(paths)) is not None:
        channel.set_up(paths, staged, known.node, known.cluster_id)
    replace_file(paths.spec, encode(staged), mode=0o600)
    paths.staged.unlink()
    return Done(changed=True)


def abort(paths: Paths, order: Abort) -> Done:
    """Forget what is staged; what is committed stays."""
    lock.require(paths, order.lock)
    if not paths.staged.exists():
        return Done(changed=False)
    paths.staged.unlink()
    return Done(changed=True)


def leave(paths: Paths, order: Leave) -> Done:
    """Remove every trace of the cluster; the service is stopped and removed by the caller (deploy.py)."""
    if not paths.var.exists() and not paths.run.exists():
        return Done(changed=False)
    for folder in (paths.run, paths.var):
        if folder.exists():
            shutil.rmtree(folder)
    with contextlib.suppress(OSError):
        # Another cluster's folder keeps it.
        paths.run.parent.rmdir()
    if not any(folder != paths.runtimes for folder in paths.home.iterdir() if folder.is_dir()):
        # The running interpreter has read all it needs; the folder may go from under it.
        shutil.rmtree(paths.runtimes)
        with contextlib.suppress(OSError):
            # What others put there (a witness token) is theirs, and keeps the folder.
            paths.home.rmdir()
    return Done(changed=True)


def identity(paths: Paths) -> Identity | None:
    return _read(paths.identity, Identity) if paths.identity.exists() else None


def _must_have_folders(node: str, spec: Spec, committed: Spec | None) -> None:
    """Before anything stops for it (REQ-E15). A disk that went away since it was bound is no reason.

    Raises RefusedError HS437."""
    before = {binding.path for binding in _bindings(committed)}
    missing = [b.path for b in _bindings(spec) if b.path not in before and not Path(b.path).is_dir()]
    if missing:
        raise RefusedError(
            f"{node} has no folder {', '.join(missing)}; nothing was changed",
            hint="mount its disk or create it, on both nodes under the same path; then apply again",
            code="HS437",
        )


def _bindings(spec: Spec | None) -> tuple[Binding, ...]:
    return spec.replication.bindings if spec is not None and spec.replication is not None else ()


def _identity_unless_torn(paths: Paths) -> Identity | None:
    """Nothing here speaks of another pair: what a crash tore is written anew."""
    with contextlib.suppress(NodeError):
        return identity(paths)
    return None


def _identity_beside_foreign_key(paths: Paths) -> Identity | None:
    try:
        return identity(paths)
    except NodeError as error:
        raise NodeError(
            f"{error.message}, and the key beside it is another pair's",
            hint="if this machine is meant, let it leave first: hsorch-node leave",
            code="HS442",
        ) from error


def committed_spec(paths: Paths) -> Spec | None:
    """Raises NodeError HS442 when the file is torn or of another wire version."""
    return _read(paths.spec, Spec) if paths.spec.exists() else None


def _readable_spec(paths: Paths) -> Spec | None:
    """A torn spec must not stand in the way of the one that replaces it."""
    with contextlib.suppress(NodeError):
        return committed_spec(paths)
    return None


def staged_spec(paths: Paths) -> Spec | None:
    return _read(paths.staged, Spec) if paths.staged.exists() else None


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise NodeError(
            f"{path} cannot be read: {error}",
            hint="what runs goes on; `hsorch apply` writes the file anew from the manifest",
            code="HS442",
        ) from error
