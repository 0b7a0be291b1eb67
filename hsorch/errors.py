"""The one tree of errors: each has a code, a cause, a hint and one exit code.

Code ranges: HS1xx text of a manifest, HS2xx schema, HS3xx semantic rules, HS4xx plan and apply,
HS5xx transport, HS6xx node runtime, HS7xx failover decisions and refusals, HS8xx lab and simulator,
HS9xx the command line. Each code has a page in hsorch/cli/codes/, shown by `hsorch explain CODE`.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Public contract of the command line (docs/reference/cli.md)."""

    OK = 0
    ERROR = 1
    CHANGES = 2
    INVALID = 3
    AUTH = 4
    UNREACHABLE = 5
    PARTIAL = 6
    STALE = 7
    REFUSED = 8
    USAGE = 64
    INTERRUPTED = 130


class HsorchError(Exception):
    """Base of all errors that a user may see.

    message: what happened, with the names of things. hint: what would make it pass.
    detail: further lines (what was tried, output of a command); may be empty.
    """

    code = "HS900"
    exit_code = ExitCode.ERROR

    def __init__(self, message: str, *, hint: str, detail: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail
        if code is not None:
            self.code = code


class UsageError(HsorchError):
    """The command line itself is wrong."""

    code = "HS901"
    exit_code = ExitCode.USAGE


class ManifestInvalid(HsorchError):
    """The manifest has at least one error; the diagnostics were shown."""

    code = "HS100"
    exit_code = ExitCode.INVALID


class TransportError(HsorchError):
    """A node could not be reached or did not answer in time."""

    code = "HS500"
    exit_code = ExitCode.UNREACHABLE


class AuthError(TransportError):
    """Credentials or host key were not accepted."""

    code = "HS510"
    exit_code = ExitCode.AUTH


class NodeError(HsorchError):
    """A verb on a node failed; the node said why."""

    code = "HS600"


class RefusedError(HsorchError):
    """A safety rule, a lock or the user said no; nothing was changed."""

    code = "HS700"
    exit_code = ExitCode.REFUSED


class PlanStale(HsorchError):
    """The world moved between plan and apply."""

    code = "HS410"
    exit_code = ExitCode.STALE


class PartlyApplied(HsorchError):
    """Some steps are done, some are not; the journal knows which."""

    code = "HS420"
    exit_code = ExitCode.PARTIAL


class Interrupted(HsorchError):
    """Stopped by the user at a safe point; what is done stays done."""

    code = "HS421"
    exit_code = ExitCode.INTERRUPTED


class LabError(HsorchError):
    """The embedded lab could not do what was asked."""

    code = "HS800"
