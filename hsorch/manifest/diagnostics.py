"""What is wrong with a manifest, and where: values only.

Not a renderer (hsorch.cli.render) and not a rule: whoever finds a fault builds a Diagnostic.
"""

from __future__ import annotations

import re
from enum import StrEnum

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
        lines = _BREAK.split(self.text)
        return lines[number - 1] if 0 < number <= len(lines) else ""


def ordered(diagnostics: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    """By place, then code; what was found twice is kept once."""
    return tuple(sorted(dict.fromkeys(diagnostics), key=lambda d: (d.span, d.code, d.message)))
