"""The page that guard and agent share."""

from __future__ import annotations

from pathlib import Path

from hsorch.node.watch import Watch


def test_both_sides_see_the_same_numbers(tmp_path: Path) -> None:
    agent, guard = Watch(tmp_path / "watch", "boot-1"), Watch(tmp_path / "watch", "boot-1")
    agent.until = 2**63
    guard.guard_alive = 5
    assert (guard.until, agent.guard_alive) == (2**63, 5)


def test_the_watchdog_stays_armed_over_a_restart_of_either(tmp_path: Path) -> None:
    first = Watch(tmp_path / "watch", "boot-1")
    first.until = 77
    first.close()
    assert Watch(tmp_path / "watch", "boot-1").until == 77


def test_another_boot_starts_disarmed(tmp_path: Path) -> None:
    Watch(tmp_path / "watch", "boot-1").until = 77
    assert Watch(tmp_path / "watch", "boot-2").until == 0


def test_it_has_its_room_before_anybody_counts_on_it(tmp_path: Path) -> None:
    """A page that finds no room when it is written ends the process (SIGBUS)."""
    (tmp_path / "watch").write_bytes(b"")
    Watch(tmp_path / "watch", "boot").close()
    assert (tmp_path / "watch").stat().st_blocks > 0
