"""What a plain word is, and which words older YAML would read differently."""

import pytest
import yaml

from hsorch.manifest.scalars import ScalarValue, quoted, resolve, trap
from hsorch.manifest.units import milliseconds, rate, shown

ALIKE = [
    "true",
    "null",
    "~",
    "",
    "12",
    "-3",
    "1.5",
    "0x1F",
    "a",
    "y",
    "10.0.0.1",
    "fd00::1",
    "200ms",
    "8.3.0",
    "-",
    ".",
]
DIFFERENT = [
    "on",
    "No",
    "YES",
    "off",
    "010",
    "0o17",
    "22:22",
    "190:20:30",
    "2024-01-02",
    "1_000",
    "0b11",
    "09:30",
]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("true", True),
        ("FALSE", False),
        ("12", 12),
        ("+1", 1),
        ("0x1f", 31),
        ("1.10", 1.1),
    ]
    + [(text, text) for text in ("yes", "010x", ".inf", ".nan", "1e", "9" * 19, "1.2.3", "=", "0b1")],
)
def test_plain_words_follow_the_core_schema(text: str, value: ScalarValue) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize("text", ALIKE)
def test_words_that_all_readers_read_alike_are_no_trap(text: str) -> None:
    assert trap(text) == ""


@pytest.mark.parametrize("text", DIFFERENT)
def test_words_that_readers_disagree_on_are_traps(text: str) -> None:
    assert trap(text)


@pytest.mark.parametrize("text", ["on", "no", "22:22", "1_000", "2024-01-02", "0b11"])
def test_the_traps_are_real(text: str) -> None:
    """PyYAML reads YAML 1.1: it makes something else of them."""
    assert yaml.safe_load(text) != resolve(text)


@pytest.mark.parametrize("text", ['a"b', "a\\b", "a\nb", "\u2028", "ä", "\x07", "\U0001f642", ""])
def test_quoting_keeps_the_text(text: str) -> None:
    assert yaml.safe_load(quoted(text)) == text
    assert "\n" not in quoted(text)


def test_durations_are_whole_milliseconds_and_never_vanish() -> None:
    assert [milliseconds(t) for t in ("200ms", "1.5s", "1m", "2h", "1d")] == [
        200,
        1500,
        60_000,
        7_200_000,
        86_400_000,
    ]
    assert milliseconds("0.1ms") == 1
    assert rate("3 per 1h") == (3, 3_600_000)
    assert [shown(t) for t in (300, 1500, 1954, 60_000, 0)] == ["300ms", "1.5s", "1.954s", "1m", "0ms"]
