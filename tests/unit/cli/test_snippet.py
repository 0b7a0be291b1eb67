"""The caret stands under the fault, whatever the line is made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from hsorch.cli.render.snippet import WINDOW, snippet


@pytest.mark.parametrize(
    ("line", "start", "end", "shown", "marks"),
    [
        ("port: 80", 7, 9, "port: 80", "      ^^"),
        ("\tport: 80", 8, 10, "    port: 80", "          ^^"),
        ("ab\tc", 4, 5, "ab  c", "    ^"),
        ("東京: x", 5, 6, "東京: x", "      ^"),
        ("e\u0301: x", 5, 6, "e\u0301: x", "   ^"),
        ("port:", 6, 6, "port:", "     ^"),
        ("", 1, 1, "", "^"),
        ("a\x1b[2Jb", 2, 3, "a\ufffd[2Jb", " ^"),
        ("x\u202ey", 2, 3, "x\ufffdy", " ^"),
    ],
)
def test_marks_stand_under_the_text(line: str, start: int, end: int, shown: str, marks: str) -> None:
    made = snippet(line, start, end)
    assert (made.text, made.marks("^")) == (shown, marks)


def test_a_long_line_is_cut_around_the_fault() -> None:
    made = snippet("a" * 5000 + "BAD" + "c" * 5000, 5001, 5004)
    assert made.text.startswith("…")
    assert made.text.endswith("…")
    assert cell_len(made.text) < WINDOW + 10
    assert made.text[made.offset : made.offset + made.length] == "BAD"


@given(st.text(max_size=400), st.integers(-5, 450), st.integers(-5, 450))
def test_any_line_and_any_span_give_a_mark_within_reach(line: str, start: int, end: int) -> None:
    made = snippet(line, start, end)
    assert made.length >= 1
    assert 0 <= made.offset <= WINDOW + 5
