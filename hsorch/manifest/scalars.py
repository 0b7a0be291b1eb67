"""YAML 1.2 core scalars: what a plain word means, and which words an older YAML would read differently.

Not a parser: text in, value or warning out. A word that YAML 1.1 tools (most editors and pipelines) turn into
something else is never accepted silently.
"""

from __future__ import annotations

import re

ScalarValue = str | int | float | bool | None

_NULL = frozenset(["", "~", "null", "Null", "NULL"])
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]{1,18}|0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]{1,2})?")

_OLD_BOOL = re.compile(r"(?i:yes|no|on|off)")
_OLD_FORMS = (
    (re.compile(r"[-+]?0o?[0-9_]*[0-7][0-9_]*"), "an octal number"),
    (re.compile(r"[-+]?0b[01_]+"), "a binary number"),
    (re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"), "a number to the base of 60"),
    (re.compile(r"[-+]?[1-9][0-9]*_[0-9_]*"), "a number without its underscores"),
    (re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?"), "a date"),
)


def resolve(text: str) -> ScalarValue:
    """The value of a plain scalar. Numbers beyond 18 digits, infinities and NaN stay text."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text, 16) if text.startswith("0x") else int(text)
    if _FLOAT.fullmatch(text) and len(text) <= 24:
        return float(text)
    return text


def trap(text: str) -> str:
    """What YAML 1.1 makes of a plain scalar when that differs from YAML 1.2; empty if both agree."""
    if not text or (text[0] not in "0123456789+-" and text[0] not in "yYnNoO"):
        return ""
    if _OLD_BOOL.fullmatch(text):
        return "true" if text.lower() in ("yes", "on") else "false"
    return next((name for form, name in _OLD_FORMS if form.fullmatch(text)), "")


def quoted(text: str) -> str:
    """The text as a double-quoted YAML scalar on one line."""
    escaped = "".join(_ESCAPES.get(c) or (c if c.isprintable() else _escape(c)) for c in text)
    return f'"{escaped}"'


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
