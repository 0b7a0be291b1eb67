"""fmt on a page that people have written in."""

from pathlib import Path

from hsorch.manifest.format import format_text

GOLDEN = Path(__file__).parent / "format"


def test_a_scribbled_page_becomes_a_clean_one() -> None:
    formatted = format_text((GOLDEN / "scribbled.yaml").read_bytes(), "scribbled.yaml")
    assert formatted.text == (GOLDEN / "clean.yaml").read_text()


def test_a_clean_page_is_left_alone() -> None:
    clean = (GOLDEN / "clean.yaml").read_text()
    assert format_text(clean.encode(), "clean.yaml").text == clean


def test_anchors_stay_above_their_aliases() -> None:
    text = "policy: {lease: &t 2s}\ngroup:\n  x: *t\nversion: 1\n"
    assert format_text(text.encode(), "c").text == "policy: {lease: &t 2s}\n\ngroup:\n  x: *t\n\nversion: 1\n"


def test_what_is_not_yaml_is_refused_with_its_place() -> None:
    formatted = format_text(b"a: [1\n", "c")
    assert formatted.text is None
    assert [d.code for d in formatted.diagnostics] == ["HS103"]
