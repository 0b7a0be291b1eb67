"""What is wrong with a manifest, and where: values only.

Not a renderer (hsorch.cli.render) and not a rule: whoever finds a fault builds a Diagnostic.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache

import msgspec

_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
"""Line breaks as libyaml counts them."""


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the values of this module."""


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Span(msgspec.Struct, frozen=True, order=True):
    """A piece of a file. 1-based lines and columns (in Unicode characters); the end is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


class Label(Value, frozen=True, kw_only=True):
    """A second place that matters, with a word on why ("first defined here")."""

    span: Span
    text: str


class Diagnostic(Value, frozen=True, kw_only=True):
    """One fault or advice. help: what would make it pass. fix: text that may replace the span, if any."""

    code: str
    severity: Severity
    message: str
    span: Span
    help: str
    related: tuple[Label, ...] = ()
    fix: str = ""


class Source(Value, frozen=True, kw_only=True):
    """A file that was read; `line(n)` serves snippets."""

    name: str
    text: str

    def line(self, number: int) -> str:
        """The text of a 1-based line without its line break; empty beyond the end."""
        lines = _lines(self.text)
        return lines[number - 1] if 0 < number <= len(lines) else ""


def error(
    code: str, message: str, span: Span, advice: str, *, related: tuple[Label, ...] = (), fix: str = ""
) -> Diagnostic:
    """An error; control characters of the input are shown as escapes, so that a message stays one line."""
    return Diagnostic(
        code=code,
        severity=Severity.ERROR,
        message=printable(message),
        span=span,
        help=printable(advice),
        related=related,
        fix=fix,
    )


def printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


@lru_cache(maxsize=8)
def _lines(text: str) -> list[str]:
    """Split once: a file may have thousands of faults, and each shows its line."""
    return _BREAK.split(text)


def ordered(diagnostics: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    """By place, then code; what was found twice is kept once."""
    return tuple(sorted(dict.fromkeys(diagnostics), key=lambda d: (d.span, d.code, d.message)))
