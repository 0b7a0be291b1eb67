"""Notices what others than this process change below the standby's bound folders, by Linux' fanotify.

It finds writes and changed names, not what a program writes through a memory map alone; and nothing at all
where the kernel forbids it (watching() then says so, and only a verify finds such changes). What follows from
a finding is decided elsewhere.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hsorch.node.replication.bell import Bell
from hsorch.node.replication.bindings import Binding

_REPORT_DFID_NAME = 0xC00
_CLOEXEC, _NONBLOCK, _UNLIMITED = 0x1, 0x2, 0x10
_ADD, _FILESYSTEM = 0x1, 0x100
_MODIFY, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE, _ONDIR = 0x2, 0x40, 0x80, 0x100, 0x200, 0x40000000
_MASK = _MODIFY | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _ONDIR
_AT_FDCWD = -100
_EVENT = struct.Struct("=IBBHQii")
"""struct fanotify_event_metadata."""
_INFO = struct.Struct("=BBH")
_HANDLE = struct.Struct("=Ii")
"""After the 8 bytes of the file system's id: struct file_handle without its bytes."""
_HANDLE_AT = _INFO.size + 8
_NAMED_KINDS = (2, 4, 10, 12)
"""Records that hold a folder's handle and a name in it; 10, 12: the old and the new one of a rename."""
_READ = 1 << 18
_AGAIN_S = 1.0
_MOST = 1_000
"""Findings that are kept while they cannot be told."""
_GATHER_S = 0.1
"""So long after a finding, others may gather: what this process does would wake the thread each time."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fanotify_mark.argtypes = [
    ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p
]  # fmt: skip
_libc.open_by_handle_at.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int]


@dataclass(frozen=True)
class Change:
    """path: absolute. who: program and pid, as far as it still runs."""

    path: str
    who: str


class Sentry:
    """Watches from the moment it is made."""

    def __init__(
        self, bindings: Sequence[Binding], on_change: Callable[[Change], None], *, again_s: float = _AGAIN_S
    ) -> None:
        """on_change is called by a thread, at each finding; again with the same one if it raises."""
        self._bindings = {os.path.realpath(b.path): b for b in bindings}
        self._on_change = on_change
        self._again_s = again_s
        self._roots: list[int] = []
        self._untold: dict[Change, None] = {}
        self._missed = ""
        """Why something may have been missed since the start."""
        self._fault = ""
        """Why a finding could not be told; it is kept."""
        self._fd = _libc.fanotify_init(
            _REPORT_DFID_NAME | _CLOEXEC | _NONBLOCK | _UNLIMITED, os.O_RDONLY | os.O_CLOEXEC
        )
        self._forbidden = "" if self._fd >= 0 else os.strerror(ctypes.get_errno())
        self._stopped = threading.Event()
        self._bell = Bell()
        self._thread = threading.Thread(target=self._run, name="sentry", daemon=True)
        for path in self._bindings if self._fd >= 0 else ():
            if _libc.fanotify_mark(self._fd, _ADD | _FILESYSTEM, _MASK, _AT_FDCWD, os.fsencode(path)):
                self._forbidden = f"{path}: {os.strerror(ctypes.get_errno())}"
            self._roots.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        if self._fd >= 0:
            self._thread.start()

    @property
    def reason(self) -> str:
        """Why not everything is noticed; empty: it is."""
        return self._forbidden or self._fault or self._missed

    def stop(self) -> None:
        self._stopped.set()
        if self._fd >= 0:
            self._bell.ring()
            self._thread.join()
            os.close(self._fd)
            self._fd = -1
        for root in self._roots:
            os.close(root)
        self._roots = []

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._bell, select.POLLIN)
        while not self._stopped.is_set():
            try:
                if not self._untold:
                    poll.poll()
                self._read()
                self._tell()
            except Exception as error:  # told, and gone on with: nobody else would notice anything
                self._fault = f"what was found cannot be told: {error!r}"
                self._stopped.wait(self._again_s)
            self._stopped.wait(_GATHER_S)

    def _read(self) -> None:
        try:
            found = dict.fromkeys(self._foreign(os.read(self._fd, _READ)))
            if len(self._untold) < _MOST:
                self._untold.update(found)
            elif found:
                self._missed = "more was found than is kept while it cannot be told"
        except BlockingIOError:
            return
        except Exception as error:  # what these events said is lost; the next ones are read
            self._missed = f"some could not be read: {error!r}"

    def _tell(self) -> None:
        while self._untold:
            change = next(iter(self._untold))
            self._on_change(change)
            del self._untold[change]
        self._fault = ""

    def _foreign(self, data: bytes) -> Iterator[Change]:
        """Nearly all events are this process's own: those cost one comparison."""
        at, me = 0, os.getpid()
        known: dict[bytes, str] = {}
        while at < len(data):
            length, _, _, head, _, descriptor, pid = _EVENT.unpack_from(data, at)
            if descriptor >= 0:
                os.close(descriptor)
            if pid != me:
                yield from self._changes(data[at + head : at + length], pid, known)
            at += length

    def _changes(self, records: bytes, pid: int, known: dict[bytes, str]) -> Iterator[Change]:
        at = 0
        while at < len(records):
            kind, _, length = _INFO.unpack_from(records, at)
            if kind in _NAMED_KINDS:
                size, _ = _HANDLE.unpack_from(records, at + _HANDLE_AT)
                end = at + _HANDLE_AT + _HANDLE.size + size
                handle = records[at + _HANDLE_AT : end]
                name = os.fsdecode(records[end : at + length].partition(b"\0")[0])
                if handle not in known:
                    known[handle] = self._folder(handle)
                path = f"{known[handle]}/{name}".removesuffix("/.")
                if known[handle] and self._is_bound(path):
                    yield Change(path, _who(pid))
            at += length

    def _folder(self, handle: bytes) -> str:
        """Where the folder of a handle is; empty: gone, or on no volume of a bound folder."""
        for root in self._roots:
            found = _libc.open_by_handle_at(root, handle, os.O_PATH | os.O_CLOEXEC)
            if found >= 0:
                try:
                    return str(Path(f"/proc/self/fd/{found}").readlink())
                finally:
                    os.close(found)
        return ""

    def _is_bound(self, path: str) -> bool:
        for root, binding in self._bindings.items():
            if path.startswith(root + "/"):
                return binding.covers(path[len(root) + 1 :])
        return False


def _who(pid: int) -> str:
    try:
        name = Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        return f"pid {pid}, which has ended"
    return f"{name} (pid {pid})"
