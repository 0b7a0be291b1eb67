"""Which data count, what was put away, are both sides equal: an operator's words, to a pair in memory."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from msgspec import structs

from hsorch.cli import verify
from hsorch.cli.console import Terminal
from hsorch.errors import ExitCode, NodeError
from hsorch.node.replication.generations import Lineage
from hsorch.verbs import BindingReport, DataReport, LimitReport
from tests.unit.cli.data_pair import BOOK, PAGE, REFUSAL, Holdings

GOLDEN = Path(__file__).parent / "golden"


# --------------------------------------------------------------------------- whose data count


def test_a_survey_says_what_each_side_loses_and_changes_nothing(hsorch, held: Holdings) -> None:
    ran = hsorch("select-source", "a", "--survey")
    assert ran.code == ExitCode.OK
    assert ran.out == (GOLDEN / "survey.txt").read_text()
    assert held.orders == []


def test_a_survey_for_programs_names_the_files_that_are_newer_on_the_loser(hsorch, held: Holdings) -> None:
    value = json.loads(hsorch("select-source", "a", "--survey", "--format", "json").out)
    side = value["nodes"]["b"]
    assert side["meeting"] == "diverged"
    assert side["loses"]["ordered"]["bytes"] == 2058
    assert side["loses"]["watched"]["files"] == 2
    assert [item["path"] for item in side["newer_here"]] == [PAGE, "/srv/images/new.jpg", BOOK]


def test_the_choice_wants_the_clusters_name_and_shows_the_cost_first(hsorch, held: Holdings) -> None:
    ran = hsorch("select-source", "a")
    assert ran.code == ExitCode.REFUSED
    assert "If a counts, b loses" in ran.err
    assert held.orders == []
    assert hsorch("select-source", "a", "--confirm", "plant-8").code == ExitCode.REFUSED
    assert held.orders == []


def test_the_winner_is_told_first_and_the_loser_learns_its_lineage(hsorch, held: Holdings) -> None:
    ran = hsorch("select-source", "a", "--confirm", "plant-7")
    assert ran.code == ExitCode.OK
    assert [(node, verb) for node, verb, _ in held.orders] == [("a", "choose"), ("b", "choose")]
    told = held.orders[1][2]
    assert told.winner == held.nodes["a"].lineage
    assert told.id == held.orders[0][2].id
    assert "hsorch quarantine list" in ran.out


def test_the_name_can_be_typed(hsorch, held: Holdings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Terminal, "interactive", True)
    monkeypatch.setattr("sys.stdin", io.StringIO("plant-7\n"))
    assert hsorch("select-source", "a").code == ExitCode.OK
    assert len(held.orders) == 2


def test_to_choose_the_older_data_the_losers_name_is_asked_for_too(hsorch, held: Holdings) -> None:
    """a is merely behind b: choosing a throws the newer data away."""
    held.nodes["a"].lineage = Lineage(current=7, end=1000)
    refused = hsorch("select-source", "a", "--confirm", "plant-7")
    assert refused.code == ExitCode.REFUSED
    assert "'plant-7 b'" in refused.err
    assert "b has the newer data" in hsorch("select-source", "a").err
    assert hsorch("select-source", "a", "--confirm", "plant-7 b").code == ExitCode.OK


def test_data_under_a_running_application_are_never_given_up(hsorch, held: Holdings) -> None:
    held.nodes["b"].refuses = REFUSAL
    ran = hsorch("select-source", "b", "--confirm", "plant-7")
    assert ran.code == ExitCode.REFUSED
    assert "HS749" in ran.err
    assert [node for node, _, _ in held.orders] == ["b"], "the other side was told nothing"


def test_a_choice_needs_an_answer_of_both(hsorch, held: Holdings) -> None:
    held.pair.lose("b", times=20)
    assert hsorch("select-source", "a", "--confirm", "plant-7").code == ExitCode.UNREACHABLE
    assert held.orders == []


def test_a_node_with_a_new_disk_has_nothing_to_lose_and_is_filled(hsorch, held: Holdings) -> None:
    held.nodes["b"].lost = NodeError("b: /srv/app lies on another disk", hint="mount it", code="HS674")
    assert hsorch("select-source", "a", "--survey").out.startswith("b has nothing to lose: ")
    assert hsorch("select-source", "a", "--confirm", "plant-7").code == ExitCode.OK
    assert [(node, verb) for node, verb, _ in held.orders] == [("a", "choose"), ("b", "choose")]


def test_where_nothing_was_replicated_there_is_no_choice(hsorch, held: Holdings) -> None:
    for node in held.nodes.values():
        node.lineage = Lineage()
    ran = hsorch("select-source", "a", "--confirm", "plant-7")
    assert ran.code == ExitCode.REFUSED
    assert "bring-in --source a" in ran.err


# --------------------------------------------------------------------------- which way at a bring-in


def out(held: Holdings) -> None:
    held.pair.active = ""


def test_the_first_bring_in_shows_the_way_and_wants_the_name_where_files_are_overwritten(
    hsorch, held: Holdings
) -> None:
    out(held)
    for node in held.nodes.values():
        node.lineage = Lineage()
    ran = hsorch("bring-in", "--yes")
    assert ran.code == ExitCode.REFUSED
    assert "a ==> b, b will be overwritten: 4 files" in ran.err
    assert held.pair.orders == []
    assert hsorch("bring-in", "--confirm", "plant-7").code == ExitCode.OK


def test_the_first_bring_in_onto_an_empty_node_wants_a_yes(hsorch, held: Holdings) -> None:
    out(held)
    for node in held.nodes.values():
        node.lineage = Lineage()
    held.nodes["b"].wrote = held.nodes["b"].watched = []
    assert hsorch("bring-in", "--yes").code == ExitCode.OK


def test_a_bring_in_where_the_older_data_are_is_refused_with_the_right_words(hsorch, held: Holdings) -> None:
    out(held)
    held.nodes["a"].lineage = Lineage(current=7, end=1000)
    ran = hsorch("bring-in", "--yes")
    assert ran.code == ExitCode.REFUSED
    assert "HS940" in ran.err
    assert "hsorch bring-in --source b" in ran.err
    assert held.pair.orders == []


def test_a_bring_in_with_another_source_makes_it_the_active_node_first(hsorch, held: Holdings) -> None:
    out(held)
    held.nodes["a"].lineage = Lineage(current=7, end=1000)
    assert hsorch("bring-in", "--source", "b", "--yes").code == ExitCode.OK
    assert [(o.verb, o.target) for _, o in held.pair.orders] == [("set-active", "b"), ("bring-in", "")]


def test_a_bring_in_after_both_went_on_alone_waits_for_the_choice(hsorch, held: Holdings) -> None:
    out(held)
    ran = hsorch("bring-in", "--yes")
    assert ran.code == ExitCode.REFUSED
    assert "HS690" in ran.err


def test_a_bring_in_is_possible_when_the_other_node_is_away(hsorch, held: Holdings) -> None:
    out(held)
    held.pair.lose("b", times=20)
    assert hsorch("bring-in", "--yes").code == ExitCode.OK


def test_bring_out_says_what_the_other_node_lacks(hsorch, held: Holdings) -> None:
    lonely = DataReport(role="source", state="complete", phase="connecting", queue_bytes=3 << 20)
    held.pair.data["a"] = lonely
    assert "b lacks 3.0 MiB of its data that a has" in hsorch("bring-out").err
    assert "b lacks 3.0 MiB" in hsorch("bring-out", "--confirm", "plant-7").out


def test_a_forced_takeover_says_what_the_data_there_are_worth(hsorch, held: Holdings) -> None:
    ran = hsorch("takeover", "--force", "--node", "b")
    assert "The data on b are 'logical'" in ran.err
    assert "quarantine" in ran.err


@pytest.mark.parametrize(
    "words", [("select-source",), ("set-active",), ("quarantine", "show"), ("quarantine", "drop")]
)
def test_a_manifest_where_a_name_belongs_is_told_apart(
    hsorch, held: Holdings, words: tuple[str, ...]
) -> None:
    """Also behind it: most commands want nothing but the manifest."""
    for more in ((), ("a",)):
        ran = hsorch(*words, "cluster.yaml", *more)
        assert ran.code == ExitCode.USAGE
        assert "HS916" in ran.err
        assert f"{' '.join(words)} {'INCIDENT' if len(words) > 1 else 'NODE'} cluster.yaml" in ran.err


# --------------------------------------------------------------------------- equal?


def stories(held: Holdings, *told: DataReport) -> None:
    """What the source says, look by look; the last one stays."""
    rest = list(told)
    real = held.pair.report

    def report(name: str):
        if name == "a":
            held.pair.data["a"] = rest.pop(0) if len(rest) > 1 else rest[0]
        return real(name)

    held.pair.report = report


def told(phase: str, **more: object) -> DataReport:
    return DataReport(role="source", state="complete", connected=True, phase=phase, **more)


def test_verify_shows_how_far_it_is_and_ends_with_equal(hsorch, held: Holdings) -> None:
    running = told("verify", checked_bytes=1 << 30, left_bytes=2 << 30, speed=1 << 29, left_ms=4000)
    done = told("live", checked_bytes=3 << 30, differing_bytes=0, verified="2026-01-31T09:00:00Z")
    stories(held, told("live"), running, done)
    ran = hsorch("verify")
    assert ran.out == "plant-7: 3.0 GiB compared at 2026-01-31T09:00:00Z: equal\n"
    assert "verify: 1.0 GiB compared, 2.0 GiB left at 512 MiB/s, 4 s" in ran.err
    assert ran.code == ExitCode.OK
    assert [(node, verb) for node, verb, _ in held.orders] == [("a", "verify")]


def test_verify_waits_for_every_folder(hsorch, held: Holdings) -> None:
    def folders(images: str) -> tuple[BindingReport, ...]:
        return (BindingReport(path="/srv/images", kind="watched", state="live", verified=images),)

    at = "2026-01-31T09:00:00Z"
    half = told("verify", verified=at, differing_bytes=0, bindings=folders(""))
    stories(held, told("live", bindings=folders("")), half, half, structs.replace(half, bindings=folders(at)))
    ran = hsorch("verify")
    assert ran.code == ExitCode.OK
    assert ran.err.count("verify: ") == 2


def test_verify_that_found_a_difference_is_2(hsorch, held: Holdings) -> None:
    stories(held, told("live"), told("live", differing_bytes=4096, verified="2026-01-31T09:00:00Z"))
    ran = hsorch("verify")
    assert "4.0 KiB differed and was sent anew" in ran.out
    assert ran.code == ExitCode.CHANGES


def test_a_file_too_many_is_a_difference_too(hsorch, held: Holdings) -> None:
    at = "2026-01-31T09:00:00Z"
    stories(held, told("live"), told("live", differing_bytes=0, differing_names=2, verified=at))
    ran = hsorch("verify")
    assert "2 names were put right" in ran.out
    assert ran.code == ExitCode.CHANGES


def test_verify_that_breaks_off_does_not_wait_for_ever(
    hsorch, held: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "BEGINS_WITHIN_S", 0.0)
    stories(held, told("live"), told("connecting"))
    ran = hsorch("verify")
    assert ran.code == ExitCode.ERROR
    assert "HS943" in ran.err


def test_verify_waits_for_a_resync_that_goes_first_or_takes_its_place(
    hsorch, held: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "BEGINS_WITHIN_S", 0.0)
    done = told("live", differing_bytes=0, verified="2026-01-31T09:00:00Z")
    stories(held, told("live"), told("mirror"), told("mirror"), done)
    assert hsorch("verify").code == ExitCode.OK


def test_verify_that_would_delete_too_much_says_so(
    hsorch, held: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "BEGINS_WITHIN_S", 0.0)
    gone = BindingReport(path="/srv/db", kind="ordered", state="held", held=40)
    stories(held, told("live"), told("live", bindings=(gone,)))
    ran = hsorch("verify")
    assert ran.code == ExitCode.ERROR
    assert "HS634" in ran.err
    assert "40 files of /srv/db are gone on a" in ran.err
    assert "release-deletions" in ran.err


def test_nothing_is_compared_while_nobody_is_the_source(hsorch, held: Holdings) -> None:
    held.pair.data["a"] = DataReport(role="none", state="unknown", phase="stopped")
    ran = hsorch("verify")
    assert ran.code == ExitCode.REFUSED
    assert "HS942" in ran.err


def test_held_deletions_go_on_by_the_clusters_name_only(hsorch, held: Holdings) -> None:
    assert "holds no deletions back" in hsorch("release-deletions").out
    images = BindingReport(path="/srv/images", kind="watched", state="held", held=1200)
    held.pair.data["a"] = told("live", bindings=(images,))
    ran = hsorch("release-deletions")
    assert ran.code == ExitCode.REFUSED
    assert "/srv/images: 1200 files that are gone on a are still on the standby" in ran.err
    assert hsorch("release-deletions", "--confirm", "plant-7").code == ExitCode.OK
    assert [(node, verb) for node, verb, _ in held.orders] == [("a", "release-deletions")]


def test_deletions_of_a_folder_that_the_pair_does_not_bind_are_no_success(hsorch, held: Holdings) -> None:
    images = BindingReport(path="/srv/images", kind="watched", state="live")
    held.pair.data["a"] = told("live", bindings=(images,))
    assert hsorch("release-deletions", "--path", "/srv/images").code == ExitCode.OK
    ran = hsorch("release-deletions", "--path", "/srv/image")
    assert ran.code == ExitCode.USAGE
    assert "HS917" in ran.err
    assert "its folders are /srv/images" in ran.err


def test_what_runs_on_by_itself_is_told_to_programs_too(hsorch, held: Holdings) -> None:
    begun = json.loads(hsorch("verify", "--no-wait", "--format", "json").out)
    assert (begun["cluster"], begun["source"]) == ("plant-7", "a")
    images = BindingReport(path="/srv/images", kind="watched", state="held", held=1200)
    held.pair.data["a"] = told("live", bindings=(images,))
    let_go = json.loads(hsorch("release-deletions", "--confirm", "plant-7", "--format", "json").out)
    assert let_go["files"] == 1200


WAITS = LimitReport(code="HS637", message="b was active before the takeover", hint="hsorch resync")


def test_a_node_that_came_back_follows_by_the_clusters_name_only(hsorch, held: Holdings) -> None:
    assert "HS944" in hsorch("resync").err, "nobody waits"
    held.pair.data["b"] = DataReport(role="none", state="complete", phase="stopped", troubles=(WAITS,))
    looked = hsorch("resync", "--survey")
    assert looked.code == ExitCode.OK
    assert "If a counts, b loses" in looked.out
    assert hsorch("resync").code == ExitCode.REFUSED
    assert held.orders == [], "a look changes nothing"
    told_ = json.loads(hsorch("resync", "--confirm", "plant-7", "--format", "json").out)
    assert told_["waits"] == "b"
    assert [(node, verb) for node, verb, _ in held.orders] == [("b", "follow")]
