"""What is in the way of the data is told with the word that gets it out of the way."""

from __future__ import annotations

import pytest

from hsorch.cli.pages import codes
from hsorch.node.data_report import report_of
from hsorch.node.replication.orders import ReplicationStatus
from hsorch.verbs import DataReport

TARGET = {"role": "target", "state": "receiving", "mode": "none", "connected": True, "consistent": True}
SOURCE = {**TARGET, "role": "source", "level": True}


def report(base: dict[str, object], **more: object) -> DataReport:
    return report_of(ReplicationStatus(**{**base, **more}), drained=False)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("base", "more", "code", "way_out"),
    [
        (TARGET, {"fault": "no room", "fault_code": "HS679"}, "HS679", "hsorch quarantine list"),
        (TARGET, {"fault": "EIO"}, "HS618", "disk"),
        (SOURCE, {"refused": "HS690", "connected": False}, "HS690", "hsorch select-source NODE --survey"),
        (SOURCE, {"connected": False}, "HS619", "link"),
    ],
)
def test_each_trouble_has_its_code_and_its_way_out(
    base: dict[str, object], more: dict[str, object], code: str, way_out: str
) -> None:
    (trouble,) = report(base, **more).troubles
    assert trouble.code == code
    assert way_out in trouble.hint
    assert code in codes()


def test_what_others_took_is_no_less_told_where_it_cannot_be_carried_out_either() -> None:
    """Else a node is trusted more for as long as it fails than once it is started again."""
    astray = {"fault": "record at 5000 cannot be applied", "verify_needed": "somebody else changed it"}
    assert report(TARGET, **astray).state == report(TARGET, verify_needed="so").state == "outdated"
    assert report(TARGET, fault="EIO").state == "unknown"


def test_a_comparison_tells_how_long_it_takes() -> None:
    seen = report(SOURCE, verifying=True, checked=100, left=1_000, speed=500)
    assert (seen.phase, seen.checked_bytes, seen.left_bytes, seen.left_ms) == ("verify", 100, 1_000, 2_000)


def test_how_long_is_not_guessed_while_nothing_moves() -> None:
    assert report(SOURCE, mirroring=True, left=1_000).left_ms == -1


def test_a_live_pair_has_nothing_left_and_no_trouble() -> None:
    seen = report(SOURCE, verified_ns=1_769_846_400 * 10**9)
    assert (seen.phase, seen.left_bytes, seen.left_ms, seen.troubles) == ("live", 0, -1, ())
    assert seen.verified == "2026-01-31T08:00:00.000Z"
