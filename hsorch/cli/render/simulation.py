"""What a simulation showed, as text or JSON. Each function returns the output and whether all held."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hsorch.sim.invariants import DATA, TITLES
from hsorch.sim.mutants import Kill
from hsorch.sim.scenario import Verdict, held
from hsorch.sim.story import Told
from hsorch.sim.sweep import Summary
from hsorch.sim.table import bounds
from hsorch.spec import Spec

FORMAT_VERSION = 1


def table(spec: Spec, verdicts: Sequence[Verdict], format_: str) -> tuple[str, bool]:
    good = all(v.verdict != "violated" for v in verdicts)
    if format_ == "json":
        return _json("table", rows=verdicts, held=good), good
    limits = bounds(spec)
    cells: list[tuple[str, ...]] = [("row", "fault", "active", "outage", "at most", "data", "invariants", "")]
    cells += [_row(v) for v in verdicts]
    lines = [
        f"{spec.cluster}: takeover after a crash within {limits.crash} ms, after a release within "
        f"{limits.release} ms.",
        "",
        *_columns(cells),
        "",
        *_remarks(verdicts),
        _closing(verdicts),
    ]
    return "\n".join(lines), good


def summary(result: Summary, told: Told | None, format_: str) -> tuple[str, bool]:
    good = not result.violated
    if format_ == "json":
        return _json("sweep", summary=result, shrunk=told, held=good), good
    lines = [
        f"{result.seeds} random schedules, {len(result.violated)} violated.",
        f"{result.moves} automatic moves; longest outage while faults lasted: {result.worst_outage_ms:g} ms.",
    ]
    if result.exceptions:
        lines.append(
            f"{result.exceptions} with a machine that stood still as a whole past its lease: "
            "see docs/simulator.md."
        )
    if result.overlaps:
        lines.append(f"{result.overlaps} with two active nodes: the isolation heuristic is unsound.")
    lines += [f"seed {o.seed}: {o.message}" for o in result.violated[:20]]
    if result.violated:
        lines.append(f"Replay one: hsorch simulate --seed {result.violated[0].seed} [--shrink]")
    if told is not None:
        lines += ["", *_story(told)]
    return "\n".join(lines), good


def stories(told: Sequence[Told], format_: str) -> tuple[str, bool]:
    good = not any(t.broken for t in told)
    if format_ == "json":
        return _json("stories", stories=told, held=good), good
    return "\n".join(line for t in told for line in [*_story(t), ""]).rstrip(), good


def kills(found: Sequence[Kill], format_: str) -> tuple[str, bool]:
    good = all(k.killed_by for k in found)
    if format_ == "json":
        return _json("mutants", mutants=found, held=good), good
    cells = [("rule", "without it, no longer", "killed by")]
    cells += [(k.rule, k.breaks, k.killed_by or "SURVIVED") for k in found]
    dead = sum(bool(k.killed_by) for k in found)
    return "\n".join([*_columns(cells), "", f"{dead} of {len(found)} weakened rules were noticed."]), good


def _row(verdict: Verdict) -> tuple[str, ...]:
    if verdict.verdict == "not run":
        return (verdict.row, verdict.title, "", "", "", "", "", f"not run: {verdict.complaints[0]}")
    moved = "nobody" if not verdict.active else verdict.active
    limit = "" if verdict.bound_ms < 0 else f"{verdict.bound_ms} ms"
    return (
        verdict.row,
        verdict.title,
        f"{verdict.active_before} → {moved}" if moved != verdict.active_before else moved,
        f"{verdict.outage_ms:g} ms",
        limit,
        "none" if verdict.data == "nothing replicated" else verdict.data,
        held(verdict),
        verdict.verdict,
    )


def _remarks(verdicts: Sequence[Verdict]) -> list[str]:
    lines = [f"row {v.row}: {c}" for v in verdicts if v.verdict == "violated" for c in v.complaints]
    lines += [f"row {v.row}: {v.not_promised}." for v in verdicts if v.not_promised]
    lines += [f"row {v.row}: exception: {e}" for v in verdicts for e in v.exceptions]
    if all(v.data == "nothing replicated" for v in verdicts):
        lines += [f"{name} ({TITLES[name]}) is not applicable: nothing is replicated." for name in DATA]
    return lines


def _closing(verdicts: Sequence[Verdict]) -> str:
    count = {word: sum(v.verdict == word for v in verdicts) for word in ("held", "violated", "not run")}
    return f"{count['held']} held, {count['violated']} violated, {count['not run']} not run."


def _story(told: Told) -> list[str]:
    lines = [told.title, *(f"  {fault}" for fault in told.faults), "", *told.lines]
    return [*lines, "", *(told.broken or ("Everything held.",))]


def _columns(cells: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _json(kind: str, **content: object) -> str:
    return msgspec.json.encode({"format_version": FORMAT_VERSION, "kind": kind, **content}).decode()
