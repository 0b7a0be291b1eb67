"""From what the replicator says now and said before to records of the event log: each change once (REQ-H26).

Values only. What the data are worth is the core's word (`data_state`); here is how they flow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hsorch.node.core.actions import Severity
from hsorch.verbs import DataReport

LEVELLING = ("mirror", "resync", "verify")
_VERIFY_KINDS = {"": "0(noVerify)", "verify": "1(verify)", "mirror": "2(mirror)", "resync": "1(verify)"}
_TO_BE_VERIFIED = ("HS674", "HS676", "HS633", "HS690", "HS691", "HS692")
"""Troubles that the old product told as a command that failed: the connection must be verified."""


@dataclass(frozen=True)
class News:
    severity: Severity
    kind: str
    message: str
    code: str = ""
    fields: dict[str, object] = field(default_factory=dict)


class DataNews:
    """Remembers what was said last. Nothing is told of the first report: it is no change."""

    def __init__(self) -> None:
        self._last: DataReport | None = None
        self._silent = False

    def look(self, report: DataReport | None) -> list[News]:
        """report None: the replicator gives no answer."""
        if report is None:
            told = self._last is not None and not self._silent
            self._silent = True
            message = "the replicator gives no answer"
            return [News(Severity.WARNING, "replicator_silent", message, "HS615")] if told else []
        before, self._last, self._silent = self._last, report, False
        return list(changes(before, report)) if before is not None else []


def changes(before: DataReport, now: DataReport) -> Iterator[News]:
    """Every record that the step from one report to the next is worth."""
    if now.role != before.role:
        yield News(
            Severity.INFO, "data_role", f"this node was {before.role} of the data, it is {now.role} now"
        )
    elif now.connected != before.connected:
        yield _connection(now)
    yield from _levelling(before, now)
    if bool(now.frozen) != bool(before.frozen):
        yield _frozen(now)
    if now.space != before.space:
        yield _space(before, now)
    yield from _troubles(before, now)


def _connection(now: DataReport) -> News:
    fields: dict[str, object] = {"verify": _VERIFY_KINDS.get(now.phase, "0(noVerify)"), "link": now.link}
    over = f" over {now.link}" if now.link else ""
    if now.connected:
        return News(Severity.INFO, "connection_started", f"the data flow{over}", fields=fields)
    return News(Severity.WARNING, "connection_stopped", "the data do not flow any more", "HS619", fields)


def _levelling(before: DataReport, now: DataReport) -> Iterator[News]:
    if now.phase in LEVELLING and before.phase != now.phase:
        yield News(Severity.INFO, f"{now.phase}_begin", f"{now.phase} has begun")
    if before.phase in ("mirror", "resync") and now.phase == "live":
        yield News(Severity.INFO, f"{before.phase}_end", f"{before.phase} is through")
    if now.phase == "behind" and before.phase != "behind":
        message = "the queue is over its cap: only places are noted, a resync follows"
        yield News(Severity.WARNING, "data_behind", message)
    if now.verified != before.verified and now.verified and now.role == before.role:
        differed = max(0, now.differing_bytes)
        names = f", and {now.differing_names} names were put right" if now.differing_names else ""
        apart = differed or now.differing_names
        said = f"{differed} bytes differed and were sent anew{names}" if apart else "both sides are equal"
        severity = Severity.WARNING if apart else Severity.INFO
        fields: dict[str, object] = {
            "checked_bytes": now.checked_bytes,
            "differing_bytes": differed,
            "differing_names": now.differing_names,
        }
        yield News(severity, "verified", f"{now.checked_bytes} bytes compared: {said}", fields=fields)


def _frozen(now: DataReport) -> News:
    if now.frozen:
        message = "flushes of the application wait for the other node"
        return News(Severity.WARNING, "flushes_wait", message, fields={"waiting": now.frozen})
    return News(Severity.INFO, "flushes_go_on", "flushes of the application do not wait any more")


def _space(before: DataReport, now: DataReport) -> News:
    severity = {"ok": Severity.INFO, "warn": Severity.WARNING}.get(now.space, Severity.ALARM)
    code = {"warn": "HS631", "stop": "HS632"}.get(now.space, "")
    return News(severity, "space", f"free space was '{before.space}', it is '{now.space}'", code)


def _troubles(before: DataReport, now: DataReport) -> Iterator[News]:
    """By code: a message may count on."""
    then = {trouble.code for trouble in before.troubles}
    for trouble in now.troubles:
        if trouble.code in then or trouble.code in ("HS619", "HS631", "HS632"):
            continue  # told already: as connection_stopped, as space
        kind = "command_failed" if trouble.code in _TO_BE_VERIFIED else "data_trouble"
        yield News(Severity.ALARM, kind, trouble.message, trouble.code, {"hint": trouble.hint})
    for code in sorted(then - {trouble.code for trouble in now.troubles} - {"HS619", "HS631", "HS632"}):
        yield News(Severity.INFO, "data_trouble_over", f"{code} is over", code)
