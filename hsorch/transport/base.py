"""How the controller reaches a node: run a program, move a file. Nothing else.

Not here: what is run (hsorch.plan, hsorch.cli) and which transport a manifest asks for (hsorch.cli.nodes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ran to its end. stdout and stderr are the bytes as written."""

    returncode: int
    stdout: bytes = b""
    stderr: bytes = b""


class Transport(Protocol):
    """One node's narrow door. Safe to use from several threads; errors are hsorch.errors.TransportError."""

    def run(self, argv: list[str], stdin: bytes = b"", timeout: float = 30.0) -> Completed:
        """Run argv without a shell as the node's administrator. timeout in seconds.

        Raises TransportError (unreachable, timeout) and AuthError; a non-zero exit code is no error here.
        """
        ...

    def put(self, source: bytes, target: str, mode: int = 0o644) -> None:
        """Write a file whole: readers see the old or the new one. The folder must be there."""
        ...

    def get(self, path: str) -> bytes:
        """Content of a file. Raises TransportError HS503 when it cannot be read."""
        ...

    def close(self) -> None:
        """Give up the connection; a later call opens a new one."""
        ...
