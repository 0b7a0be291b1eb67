"""Holes and clones of files on Linux: what is data, punching, and copies that keep holes.

Nothing here knows what the files are for.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_START_WRITING = 2
_LARGE = 512 << 10
_STEP = 64 << 20
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_libc.sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def data_extents(fd: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """(offset, end) of what is stored in fd between start and end, in order; between them are holes.

    A file system that knows no holes answers with everything. Raises OSError.
    """
    at = start
    while at < end:
        try:
            begin = os.lseek(fd, at, os.SEEK_DATA)
            stop = min(end, os.lseek(fd, begin, os.SEEK_HOLE))
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing more, or the file was cut just now
                return
            if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
                yield at, end
                return
            raise
        if begin >= end:
            return
        yield begin, stop
        at = stop


def punch(fd: int, offset: int, length: int) -> None:
    """Make the range a hole; zeros are written where the file system can't. Raises OSError."""
    if length <= 0:
        return
    if _libc.fallocate(fd, _KEEP_SIZE | _PUNCH_HOLE, offset, length) == 0:
        return
    code = ctypes.get_errno()
    if code not in (errno.EOPNOTSUPP, errno.ENOSYS):
        raise OSError(code, os.strerror(code))
    zeros = bytes(min(length, 1 << 20))
    for at in range(offset, offset + length, len(zeros)):
        write_at(fd, memoryview(zeros)[: offset + length - at], at)


def clone(source: int, target: int) -> None:
    """Copy all of source into the empty target, holes as holes, inside the kernel. Raises OSError."""
    size = os.fstat(source).st_size
    for begin, end in data_extents(source, 0, size):
        at = begin
        while at < end:
            try:
                done = os.copy_file_range(source, target, min(_STEP, end - at), at, at)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                    raise
                piece = os.pread(source, min(1 << 20, end - at), at)
                write_at(target, piece, at)
                done = len(piece)
            if done == 0:
                return
            at += done
    os.ftruncate(target, size)


def write_at(fd: int, data: bytes | memoryview, offset: int) -> None:
    """All of data. Raises OSError."""
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done


def start_writing(fd: int, offset: int, length: int) -> None:
    """Let the system begin to bring a large range to stable storage, so that a sync later on is short; a
    small one is left to it. Only a hint: what can't be written is found by the sync."""
    if length >= _LARGE:
        _libc.sync_file_range(fd, offset, length, _START_WRITING)
