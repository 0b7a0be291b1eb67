"""The machine hsorch itself runs on."""

from __future__ import annotations

import subprocess

from hsorch.errors import TransportError
from hsorch.transport.base import Completed
from hsorch.transport.posix import PosixFiles


class LocalTransport(PosixFiles):
    def run(self, argv: list[str], stdin: bytes = b"", timeout: float = 30.0) -> Completed:
        try:
            # Its own session: a Ctrl-C on this terminal is for hsorch, which stops between steps.
            done = subprocess.run(
                argv, input=stdin, capture_output=True, timeout=timeout, check=False, start_new_session=True
            )
        except subprocess.TimeoutExpired as error:
            raise TransportError(
                f"{argv[0]} on this machine did not end within {timeout:g} s",
                hint="look at what the program waits for, then run the command again",
                code="HS502",
            ) from error
        except OSError as error:
            raise TransportError(
                f"{argv[0]} could not be run on this machine: {error.strerror}",
                hint="install the program or check its permissions",
                code="HS504",
            ) from error
        return Completed(done.returncode, done.stdout, done.stderr)

    def close(self) -> None:
        """Nothing is kept open."""
