"""fmt keeps what a manifest means, keeps every comment, and is done after one run."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsorch.manifest.format import format_text
from hsorch.manifest.scalars import quoted
from hsorch.manifest.source import parse

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no fault."""

CASES = Path(__file__).parents[2] / "unit" / "manifest" / "cases"
VALID = (CASES / "valid-pair.yaml").read_text()

words = st.text("abc:#'\"{}[],&*!|>%@`\\ -~\u00e4\u2028", min_size=1, max_size=8)
plain = st.sampled_from(["a", "b1", "10.0.0.1/24", "5s", "8080", "true", "null", "1.5"])
comments = st.sampled_from(["", "# why", "#", "# a: {b}"])


@st.composite
def blocks(draw: st.DrawFn, depth: int = 0, indent: int = 0) -> list[str]:
    """Lines of a block mapping with keys of the language and others, comments and blank lines."""
    keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True))
    lines = []
    for key in keys:
        pad = " " * indent
        lines += [""] * draw(st.integers(0, 2))
        above, beside = draw(comments), draw(comments)
        if above:
            lines.append(pad + above)
        lines += _value(draw, pad, key, beside, depth, indent)
    return lines


def _value(draw: st.DrawFn, pad: str, key: str, beside: str, depth: int, indent: int) -> list[str]:
    beside = f"   {beside}" if beside else ""
    kind = draw(st.sampled_from(["plain", "quoted", "flow", "list", "text", "long", "map", "map"]))
    if kind == "map" and depth < 3:
        return [f"{pad}{key}:{beside}", *draw(blocks(depth + 1, indent + draw(st.integers(1, 4))))]
    if kind == "list":
        items = draw(st.lists(plain, min_size=1, max_size=3))
        return [f"{pad}{key}:{beside}", *(f"{pad}- {item}{beside}" for item in items)]
    if kind == "text":
        header = draw(st.sampled_from(["|", "|-", "|+", ">", ">-", ">+"]))
        return [f"{pad}{key}: {header}{beside}", *(f"{pad}   {w}" for w in draw(st.lists(plain, min_size=1)))]
    if kind == "long":
        return [f"{pad}{key}: [{draw(plain)},{beside}", f"{pad}   {{x: {draw(plain)}}}{beside}", f"{pad}  ]"]
    if kind == "flow":
        return [f"{pad}{key}: {{a:   {draw(plain)},b: [{draw(plain)} ,  {quoted(draw(words))}]}}{beside}"]
    return [f"{pad}{key}: {quoted(draw(words)) if kind == 'quoted' else draw(plain)}{beside}"]


KEYS = ["version", "cluster", "servers", "links", "group", "policy", "zebra", "name", '"odd: key"', "'it''s'"]


def comments_of(lines: list[str]) -> list[str]:
    return sorted(line.strip() for line in lines if line.strip().startswith("#"))


@settings(CALM, max_examples=400)
@given(blocks())
def test_meaning_and_comments_survive(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    before = parse(text.encode(), "x")
    if before.faults:
        return
    formatted = format_text(text.encode(), "x")
    assert formatted.text is not None
    assert parse(formatted.text.encode(), "x").data == before.data
    assert formatted.text.count("# why") == text.count("# why")
    again = format_text(formatted.text.encode(), "x")
    assert again.text == formatted.text


@CALM
@given(st.permutations(VALID.splitlines()[1:2] + VALID.splitlines()[9:12]))
def test_order_of_writing_does_not_matter(middle: list[str]) -> None:
    lines = VALID.splitlines()
    shuffled = "\n".join([*lines[2:9], *middle, *lines[12:], lines[0]]) + "\n"
    assert format_text(shuffled.encode(), "x").text == format_text(VALID.encode(), "x").text


@CALM
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_input_is_formatted_or_refused(data: bytes) -> None:
    formatted = format_text(data, "x")
    assert (formatted.text is None) == bool(formatted.diagnostics)
