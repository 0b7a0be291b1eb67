"""The mount in place: hsorch's own view of a bound folder, laid over the folder itself.

The folder is opened before, so the files stay reachable below the mount. When this process dies the mount
stays and answers ENOTCONN: the application stops instead of writing past the journal (fail-stop).
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from hsorch.errors import NodeError
from hsorch.node.replication.capture.attributes import AttributeChanges
from hsorch.node.replication.capture.files import Files
from hsorch.node.replication.capture.names import Names
from hsorch.node.replication.mountinfo import mounted
from hsorch.node.replication.tree import Tree

TYPE = "fuse.hsorch"
ATTRIBUTES_S = 1
"""How long the kernel may remember sizes and times. To it a file with two names is two files, so elsewhere
than below a database (which links nothing) it must ask each time."""
_WITHIN_S = 10.0
_DEVICE = "/dev/fuse"
_NOSUID, _NODEV, _DETACH = 2, 4, 2


def refuse_unmountable(place: Path) -> None:
    """Before anything durable says that this node is the source. place: an empty folder of ours, or none yet.

    Raises NodeError HS683: no FUSE, or the kernel mounts nothing for us.
    """
    _library()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.umount2(os.fsencode(place), _DETACH)  # what a killed process left
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        device = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
        try:
            options = f"fd={device},rootmode=40000,user_id={os.geteuid()},group_id={os.getegid()}"
            if libc.mount(b"hsorch", os.fsencode(place), b"fuse", _NOSUID | _NODEV, options.encode("ascii")):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(place))
        finally:
            os.close(device)
        libc.umount2(os.fsencode(place), _DETACH)
    except OSError as error:
        raise NodeError(
            f"this node cannot mount over its ordered folders: {error.strerror} ({error.filename})",
            hint="load the module fuse (`modprobe fuse`); in a container, let it see /dev/fuse and mount",
            code="HS683",
        ) from error


def _library() -> Any:
    """Raises NodeError HS683."""
    try:
        from hsorch.node.replication.capture import operations
    except (ImportError, OSError) as error:
        raise NodeError(
            "ordered replication needs FUSE, and it cannot be loaded",
            hint="install the packages fuse3 and libfuse3-3, and mfusepy with hsorch's runtime",
            detail=str(error),
            code="HS683",
        ) from error
    return operations


class Mount:
    """One mounted tree; its threads live until unmount()."""

    def __init__(self, tree: Tree, files: Files, names: Names, attributes: AttributeChanges) -> None:
        """Mounted when it returns. Raises NodeError HS683: no FUSE, or the kernel refused."""
        library = _library()
        self._folder = tree.folder
        self._failure = ""

        def serve() -> None:
            try:
                library.Fuse(
                    library.Mounted(tree, files, names, attributes), str(tree.folder), foreground=True,
                    use_ino=True, allow_other=True, default_permissions=True,
                    fsname="hsorch", subtype="hsorch",
                    attr_timeout=ATTRIBUTES_S if tree.binding.preset else 0, **library.THREADS,
                )  # fmt: skip
            except RuntimeError as error:
                self._failure = f"the mount ended with error {error}"

        self._thread = threading.Thread(target=serve, name=f"mount {tree.folder}", daemon=True)
        self._thread.start()
        self._await_mounted()

    @property
    def alive(self) -> bool:
        """False: the mount ended by itself (unmounted by somebody, or broken)."""
        return self._thread.is_alive()

    def unmount(self, *, force: bool = False) -> None:
        """Raises NodeError HS684: the application still has files open. force: take it away all the same."""
        unmount(self._folder, force=force)
        self._thread.join(_WITHIN_S)

    def _await_mounted(self) -> None:
        until = time.monotonic() + _WITHIN_S
        while not is_mounted(self._folder):
            if not self._thread.is_alive() or time.monotonic() > until:
                raise NodeError(
                    f"cannot mount over {self._folder}",
                    hint="load the module fuse, run as root, and see that nothing is mounted there",
                    detail=self._failure,
                    code="HS683",
                )
            time.sleep(0.005)


def is_mounted(folder: Path) -> bool:
    """Whether an hsorch mount lies over folder; asks the kernel's table, never the mount itself."""
    wanted = str(folder.absolute())
    return any(mount.where == wanted and mount.kind == TYPE for mount in mounted())


def unmount(folder: Path, *, force: bool = False) -> None:
    """Also takes away what a killed process left (force). Raises NodeError HS684: busy."""
    argv = ["umount", "-l", str(folder)] if force else ["umount", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0 and is_mounted(folder):
        raise NodeError(
            f"cannot unmount {folder}: it is in use",
            hint="stop what still has files open there; `fuser -vm` on the folder names it",
            detail=done.stderr.strip(),
            code="HS684",
        )
