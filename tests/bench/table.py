"""What a benchmark yields, and how it is printed. Nothing here measures."""

from __future__ import annotations

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One contender: samples of one quantity, in the unit of its table."""

    contender: str
    samples: tuple[float, ...]
    remark: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.samples)


@dataclass(frozen=True)
class Table:
    title: str
    unit: str
    rows: tuple[Row, ...]
    note: str = ""

    def markdown(self) -> str:
        """Contenders beside the first row, which is the reference of the ratio."""
        reference = self.rows[0].median
        lines = [
            f"## {self.title}",
            "",
            f"| contender | median {self.unit} | min | max | n | × {self.rows[0].contender} | remark |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in self.rows:
            ratio = f"{row.median / reference:.2f}" if reference else "-"
            lines.append(
                f"| {row.contender} | {row.median:.4g} | {min(row.samples):.4g} | {max(row.samples):.4g} "
                f"| {len(row.samples)} | {ratio} | {row.remark} |"
            )
        return "\n".join([*lines, "", self.note, ""] if self.note else [*lines, ""])
