"""What the controller left on this node: who it is, the committed spec, the cluster's key. Read only."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec

from hsorch.errors import NodeError
from hsorch.node.paths import Paths
from hsorch.spec import WIRE, Identity, Spec, decode_spec

KEY_BYTES = 32


def identity(paths: Paths) -> Identity:
    """Raises NodeError HS605: this machine does not belong to the cluster."""
    try:
        return msgspec.json.decode(_read(paths.identity), type=Identity)
    except msgspec.DecodeError as error:
        raise _damaged(paths.identity, error) from error


def spec(paths: Paths) -> Spec:
    """The committed one. Raises NodeError HS605, or HS607 for another wire version."""
    try:
        found = decode_spec(_read(paths.spec))
    except msgspec.DecodeError as error:
        raise _damaged(paths.spec, error) from error
    if found.wire != WIRE:
        raise NodeError(
            f"{paths.spec} has wire version {found.wire}, this runtime speaks {WIRE}",
            hint="bring runtime and spec together: hsorch apply",
            code="HS607",
        )
    return found


def key(paths: Paths) -> bytes:
    """The 32 bytes that heartbeats are authenticated with. Raises NodeError HS605, HS603.

    The file holds 64 hex digits or the bare bytes; nobody but its owner may read it.
    """
    data = _read(paths.key)
    mode = stat.S_IMODE(paths.key.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise NodeError(
            f"the cluster key {paths.key} can be read by others (mode {mode:04o})",
            hint=f"chmod 0600 {paths.key}; if others may have seen it, run `hsorch apply` with a new key",
            code="HS603",
        )
    if len(data) != KEY_BYTES:
        try:
            data = bytes.fromhex(data.decode("ascii"))
        except ValueError:
            data = b""
    if len(data) != KEY_BYTES:
        raise NodeError(
            f"the cluster key {paths.key} is not {KEY_BYTES} bytes",
            hint="enrol the node again: hsorch apply",
            code="HS603",
        )
    return data


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NodeError(
            f"cannot read {path}: {error.strerror}",
            hint="make this machine a node of the cluster with hsorch apply; if it is one, run this as root",
            code="HS605",
        ) from error


def _damaged(path: Path, error: msgspec.DecodeError) -> NodeError:
    return NodeError(f"{path} is damaged: {error}", hint="enrol the node again: hsorch apply", code="HS605")
