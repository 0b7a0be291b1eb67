"""The event log tells the story of the data: each change once, and nothing while nothing changes."""

from __future__ import annotations

from msgspec.structs import replace

from hsorch.node.core.actions import Severity
from hsorch.node.data_events import DataNews, News
from hsorch.verbs import DataReport, LimitReport

LIVE = DataReport(role="source", state="complete", phase="live", connected=True, link="direct")
LOST = LimitReport(code="HS674", message="/srv/images is not where it was", hint="mount it")


def story(*told: DataReport | None) -> list[News]:
    log = DataNews()
    return [news for report in told for news in log.look(report)]


def kinds(*told: DataReport | None) -> list[str]:
    return [news.kind for news in story(*told)]


def test_the_first_report_is_no_change_and_calm_is_silent() -> None:
    assert kinds(LIVE, LIVE, replace(LIVE, lsn=5, queue_bytes=7)) == []


def test_a_cut_link_and_its_return_are_two_records() -> None:
    cut = replace(LIVE, connected=False, phase="connecting")
    assert kinds(LIVE, cut, cut, LIVE) == ["connection_stopped", "connection_started"]
    assert story(LIVE, cut)[0].code == "HS619"


def test_a_mirror_begins_and_ends() -> None:
    mirror = replace(LIVE, phase="mirror")
    assert kinds(LIVE, mirror, replace(mirror, sent_bytes=50), LIVE) == ["mirror_begin", "mirror_end"]


def test_a_comparison_says_what_it_found() -> None:
    done = replace(LIVE, verified="2026-01-31T08:00:00Z", checked_bytes=100, differing_bytes=0)
    again = replace(done, verified="2026-01-31T09:00:00Z", differing_bytes=8)
    equal, differed = story(LIVE, done, again)
    assert "both sides are equal" in equal.message
    assert (differed.severity, differed.fields["differing_bytes"]) == (Severity.WARNING, 8)


def test_frozen_flushes_are_told_when_they_begin_and_when_they_end() -> None:
    assert kinds(LIVE, replace(LIVE, frozen=1), replace(LIVE, frozen=9), LIVE) == [
        "flushes_wait",
        "flushes_go_on",
    ]


def test_low_space_is_a_warning_a_full_disk_an_alarm() -> None:
    warn, stop, ok = story(LIVE, replace(LIVE, space="warn"), replace(LIVE, space="stop"), LIVE)
    assert (warn.severity, stop.severity, ok.severity) == (Severity.WARNING, Severity.ALARM, Severity.INFO)
    assert (warn.code, stop.code) == ("HS631", "HS632")


def test_a_lost_mount_is_an_alarm_once_and_its_end_is_told() -> None:
    lost = replace(LIVE, troubles=(LOST,))
    counting = replace(
        LIVE, troubles=(LimitReport(code="HS674", message="still not there", hint="mount it"),)
    )
    assert kinds(LIVE, lost, counting, LIVE) == ["command_failed", "data_trouble_over"]
    assert story(LIVE, lost)[0].code == "HS674"


def test_a_silent_replicator_is_told_once_and_then_what_changed_meanwhile() -> None:
    assert kinds(LIVE, None, None, replace(LIVE, frozen=1)) == ["replicator_silent", "flushes_wait"]
