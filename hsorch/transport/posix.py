"""Files over `run` on a POSIX node, so that every transport moves them the same way, also behind sudo."""

from __future__ import annotations

from abc import ABC, abstractmethod

from hsorch.errors import TransportError
from hsorch.transport.base import Completed

_PUT = 'umask 077; t="$1.part.$$"; cat >"$t" && chmod "$2" "$t" && mv -f "$t" "$1" || { rm -f "$t"; exit 1; }'
FILE_TIMEOUT_S = 120.0


class PosixFiles(ABC):
    """Gives a transport its `put` and `get`. The content travels on stdin, never on a command line."""

    @abstractmethod
    def run(self, argv: list[str], stdin: bytes = b"", timeout: float = 30.0) -> Completed: ...

    def put(self, source: bytes, target: str, mode: int = 0o644) -> None:
        done = self.run(["sh", "-c", _PUT, "put", target, f"{mode:o}"], source, FILE_TIMEOUT_S)
        _require(done, f"could not write {target}", "check the folder, the disk and the permissions")

    def get(self, path: str) -> bytes:
        done = self.run(["cat", "--", path], b"", FILE_TIMEOUT_S)
        _require(done, f"could not read {path}", "check that the file is there and readable")
        return done.stdout


def _require(done: Completed, message: str, hint: str) -> None:
    if done.returncode != 0:
        raise TransportError(message, hint=hint, detail=done.stderr.decode(errors="replace"), code="HS503")
