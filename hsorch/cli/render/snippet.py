"""A line of a manifest with marks under a piece of it, as the eye sees it on a terminal.

Columns of a span count characters; marks are placed by display width: tabs are expanded, wide
characters take two cells. What could move the cursor or turn the text around is shown as U+FFFD.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from rich.cells import cell_len

TAB = 4
WINDOW = 150
"""Cells of a line that are shown; a longer line is cut around the mark."""
MARGIN = 40
HIDDEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


@dataclass(frozen=True)
class Snippet:
    """text: the line as shown. offset, length: cells where the mark goes; length is at least 1."""

    text: str
    offset: int
    length: int

    def marks(self, sign: str) -> str:
        return " " * self.offset + sign * self.length


def snippet(line: str, start: int, end: int) -> Snippet:
    """start, end: 1-based columns, end exclusive; columns beyond the line mark the place after its end."""
    cells = [""] * len(line)
    widths = [0] * len(line)
    at = 0
    for index, character in enumerate(line):
        cells[index] = _shown(character, at)
        widths[index] = cell_len(cells[index])
        at += widths[index]
    first = min(max(start - 1, 0), len(line))
    last = min(max(end - 1, first), len(line))
    left, right = _window(widths, first, last)
    before, after = ("…" if left else ""), ("…" if right < len(line) else "")
    return Snippet(
        text=(before + "".join(cells[left:right]) + after).rstrip(),
        offset=len(before) + sum(widths[left:first]),
        length=max(1, sum(widths[first : min(last, right)])),
    )


def _shown(character: str, at: int) -> str:
    if character == "\t":
        return " " * (TAB - at % TAB)
    return "\ufffd" if unicodedata.category(character) in HIDDEN else character


def _window(widths: list[int], first: int, last: int) -> tuple[int, int]:
    """Characters [left, right) to show: all of a short line, else about WINDOW cells from the mark on."""
    if sum(widths) <= WINDOW:
        return 0, len(widths)
    left, cells = first, 0
    while left > 0 and cells < MARGIN:
        left -= 1
        cells += widths[left]
    right = first
    while right < len(widths) and cells < WINDOW:
        cells += widths[right]
        right += 1
    return left, max(right, min(last, first + 1))
