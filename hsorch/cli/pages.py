"""The page of each code (codes/HSnnn.md, shipped with the package). Reads them; prints nothing."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from hsorch.errors import UsageError

SECTIONS = ("What happened", "Why it matters", "What to do")


@dataclass(frozen=True)
class Page:
    """One code: its title and the text of its three sections."""

    code: str
    title: str
    happened: str
    matters: str
    todo: str

    @property
    def sections(self) -> tuple[tuple[str, str], ...]:
        """Heading and text, in order."""
        return tuple(zip(SECTIONS, (self.happened, self.matters, self.todo), strict=True))

    @property
    def markdown(self) -> str:
        parts = "\n\n".join(f"## {name}\n\n{text}" for name, text in self.sections)
        return f"# {self.code}: {self.title}\n\n{parts}"


def codes() -> tuple[str, ...]:
    """All codes that have a page, in order."""
    names = (entry.name for entry in (files("hsorch.cli") / "codes").iterdir())
    return tuple(sorted(name.removesuffix(".md") for name in names if name.endswith(".md")))


def page(code: str) -> Page:
    """Raises UsageError HS920 for a code without a page; the case of the letters does not matter."""
    known = code.upper()
    if known not in codes():
        from difflib import get_close_matches

        near = get_close_matches(known, codes(), n=3, cutoff=0.5)
        raise UsageError(
            f"there is no code {code}",
            hint=f"near it: {', '.join(near)}" if near else "codes look like HS212; errors name theirs",
            code="HS920",
        )
    return parse((files("hsorch.cli") / "codes" / f"{known}.md").read_text(encoding="utf-8"))


def parse(text: str) -> Page:
    """Raises ValueError when the text is not a page: a title line, then the three sections in order."""
    head, *sections = text.split("\n## ")
    code, _, title = head.removeprefix("# ").strip().partition(": ")
    named = {name.strip(): body.strip() for name, _, body in (part.partition("\n") for part in sections)}
    if tuple(named) != SECTIONS or not all(named.values()) or not title or "\n" in title:
        raise ValueError(f"not a code page: {head[:60]!r} with sections {list(named)}")
    happened, matters, todo = named.values()
    return Page(code, title, happened, matters, todo)
