"""Both nodes' reports side by side, and what they say of the pair as a whole. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from hsorch.errors import HsorchError, TransportError
from hsorch.verbs import EventRecord, StatusReport


@dataclass(frozen=True)
class NodeView:
    """One node: its report, or why there is none."""

    name: str
    answer: StatusReport | HsorchError

    @property
    def report(self) -> StatusReport | None:
        return self.answer if isinstance(self.answer, StatusReport) else None

    @property
    def error(self) -> HsorchError | None:
        return self.answer if isinstance(self.answer, HsorchError) else None


@dataclass(frozen=True)
class PairView:
    cluster: str
    nodes: tuple[NodeView, ...]

    @property
    def reports(self) -> tuple[StatusReport, ...]:
        return tuple(node.report for node in self.nodes if node.report is not None)

    @property
    def up(self) -> bool:
        """The group answers, as far as any node that can be asked knows."""
        return any(report.up for report in self.reports)

    @property
    def protected(self) -> bool:
        """No node that can be asked objects: a crash of the active node would be survived now."""
        return bool(self.reports) and all(report.protected for report in self.reports)

    @property
    def active(self) -> tuple[str, ...]:
        """Nodes that are active: normally one; two names are an alarm."""
        named = {report.active for report in self.reports if report.active}
        return tuple(sorted(named))

    @property
    def events(self) -> tuple[EventRecord, ...]:
        """Of both nodes, oldest first."""
        merged = [event for report in self.reports for event in report.events]
        return tuple(sorted(merged, key=lambda event: (event.time, event.node, event.id)))

    def require_one(self) -> None:
        """Raise the first node's error when no node answers."""
        if self.reports:
            return
        errors = [(node.name, node.error) for node in self.nodes if node.error is not None]
        _, first = errors[0]
        if len(errors) == 1 or not isinstance(first, TransportError):
            raise first
        raise type(first)(
            f"no node of {self.cluster} answers: {first.message}",
            hint=first.hint,
            detail="\n".join(f"{name}: {error.code} {error.message}" for name, error in errors),
            code=first.code,
        )
