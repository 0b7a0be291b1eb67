"""What each node of a pair would lose if the other one's data counted. Values; loss.py asks for them."""

from __future__ import annotations

from dataclasses import dataclass

from hsorch.node.replication.generations import Meeting
from hsorch.node.replication.survey import Standing, Survey

OLDER = (Meeting.RECEIVE_HOT, Meeting.RECEIVE_DIRTY, Meeting.RECEIVE_VERIFY, Meeting.RECEIVE_ALL)


@dataclass(frozen=True)
class Lost:
    """Files of one node that the other side's would replace or delete. exact False: all there are."""

    files: int = 0
    size: int = 0
    newest_ns: int = 0
    exact: bool = True
    written: int = 0
    removed: int = 0


@dataclass(frozen=True)
class Side:
    """One node. newer: files that are newer here than there, or only here; at most LISTED, newest first."""

    survey: Survey
    ordered: Lost
    watched: Lost = Lost()
    newer: tuple[Standing, ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.ordered.files or self.ordered.removed or self.watched.files)


@dataclass(frozen=True)
class Stakes:
    """Both sides by node, and how they stand to each other."""

    sides: dict[str, Side]

    def meeting(self, node: str) -> Meeting:
        """As seen from that node."""
        return Meeting(self.sides[node].survey.meeting)

    def is_older(self, node: str) -> bool:
        """Its data are the older ones, or no picture of one moment: the wrong ones to choose, as a rule."""
        return self.meeting(node) in OLDER or not self.sides[node].survey.consistent

    def other(self, node: str) -> str:
        return next(name for name in self.sides if name != node)
