"""A node in memory, for tests of whatever talks to nodes. Public: use it for your own tests too.

node = FakeTransport(lambda argv, stdin: Completed(0, b"hello"))
node.run(["hostname"]).stdout        # b"hello"
node.calls                           # (("hostname",),)
node.put(b"text", "/etc/motd"); node.files["/etc/motd"].content
node.fail_next(TransportError("cable pulled", hint="plug it in"))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hsorch.errors import TransportError
from hsorch.transport.base import Completed

Handler = Callable[[list[str], bytes], Completed]


@dataclass(frozen=True, slots=True)
class FakeFile:
    content: bytes
    mode: int


class FakeTransport:
    """Answers `run` by the given handler; keeps files and the list of calls."""

    def __init__(self, handler: Handler = lambda argv, stdin: Completed(0)) -> None:
        self._handler = handler
        self._calls: list[tuple[str, ...]] = []
        self._failures: list[TransportError] = []
        self.files: dict[str, FakeFile] = {}
        self.closed = False

    @property
    def calls(self) -> tuple[tuple[str, ...], ...]:
        return tuple(self._calls)

    def fail_next(self, error: TransportError) -> None:
        """The next call of run, put or get raises this error; several queue up."""
        self._failures.append(error)

    def run(self, argv: list[str], stdin: bytes = b"", timeout: float = 30.0) -> Completed:
        self._calls.append(tuple(argv))
        self._maybe_fail()
        return self._handler(argv, stdin)

    def put(self, source: bytes, target: str, mode: int = 0o644) -> None:
        self._maybe_fail()
        self.files[target] = FakeFile(source, mode)

    def get(self, path: str) -> bytes:
        self._maybe_fail()
        if path not in self.files:
            raise TransportError(f"could not read {path}", hint="put it first", code="HS503")
        return self.files[path].content

    def close(self) -> None:
        self.closed = True

    def _maybe_fail(self) -> None:
        if self._failures:
            raise self._failures.pop(0)
