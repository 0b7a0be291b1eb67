"""Everything off, fast and verified: by the agent, and by a guard that knows only the files in /run."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from hsorch.node.core.types import Operation, ResourceOutcome
from hsorch.node.resource.call import OvertakenError, Turn
from hsorch.node.resource.fence import fence
from hsorch.node.resource.records import Record, Records
from hsorch.node.resource.runner import Result
from hsorch.node.system import system
from hsorch.node.system.base import Deadline, Finished, Launch, Running
from hsorch.spec import CommandCheck, Process, Script
from tests.crowded import crowded
from tests.unit.resource.world import AMPLE_S, CLUSTER, NodeWorld, eventually, program, python, start

WAIT = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"


def fenced_by_guard(node: NodeWorld) -> bool:
    """By one that knows nothing but the files."""
    directory = node.paths.resources
    return fence(cluster=CLUSTER, me="alpha", directory=directory, system=system(), limit_s=AMPLE_S)[0]


def test_a_fence_ends_every_process_of_the_group_and_says_so(node: NodeWorld) -> None:
    runner = node.runner(program(DEAF, "web"), program(WAIT, "worker"))
    start(runner, "web")
    start(runner, "worker")
    ok, detail = runner.fence("lease over")
    assert ok
    assert "2 processes killed" in detail
    assert "lease over" in detail
    assert node.processes() == {}
    assert list(Records(node.paths.resources)) == []


def test_a_fence_with_nothing_to_end_is_a_success(node: NodeWorld) -> None:
    assert node.runner(program(WAIT)).fence("start of the agent")[0]


def test_a_guard_without_spec_and_agent_fences_from_the_files_alone(node: NodeWorld) -> None:
    start(node.runner(program(DEAF)))
    assert fenced_by_guard(node)
    assert node.processes() == {}


def test_a_guard_fences_even_when_the_files_are_torn(node: NodeWorld) -> None:
    start(node.runner(program(DEAF)))
    for path in node.paths.resources.glob("*.json"):
        path.write_bytes(path.read_bytes()[:7])
    assert fenced_by_guard(node)
    assert node.processes() == {}


def test_a_node_fences_however_many_files_are_open(node: NodeWorld) -> None:
    with crowded():
        runner = node.runner(program(DEAF))
        assert start(runner).outcome is ResourceOutcome.OK
        assert runner.fence("lease over")[0]
        assert fenced_by_guard(node)
    assert node.processes() == {}


def test_a_fence_spares_what_belongs_to_another_node_or_cluster(node: NodeWorld, tmp_path: Path) -> None:
    """In the lab both nodes share one process table."""
    other = NodeWorld(tmp_path / "other", me="beta")
    theirs = other.runner(program(WAIT))
    start(theirs)
    assert node.runner(program(WAIT)).fence("test")[0]
    assert len(other.processes()) == 1
    assert theirs.fence("end of the test")[0]


def test_a_fence_ends_a_start_that_still_waits_for_its_probe(node: NodeWorld) -> None:
    never = CommandCheck(argv=("false",))
    runner = node.runner(Process(name="web", argv=python(WAIT), probe=never))
    results: list[Result] = []
    starting = threading.Thread(target=lambda: results.append(start(runner, limit_s=600)))
    starting.start()
    eventually(lambda: (node.paths.resources / "web.json").exists())
    assert runner.fence("lease over")[0]
    starting.join(AMPLE_S)
    assert not starting.is_alive()
    assert results[0].outcome is ResourceOutcome.FAILED
    assert node.processes() == {}


def test_a_start_that_was_killed_does_not_end_the_next_start(node: NodeWorld, tmp_path: Path) -> None:
    """The first start wakes from its wait only after the second has succeeded."""
    ready = tmp_path / "ready"
    probe = CommandCheck(argv=("test", "-e", str(ready)))
    runner = node.runner(Process(name="web", argv=python(WAIT), probe=probe))
    results: list[Result] = []
    first = threading.Thread(target=lambda: results.append(start(runner, limit_s=600)))
    first.start()
    eventually(lambda: (node.paths.resources / "web.json").exists())
    assert runner.run("web", Operation.KILL, AMPLE_S).outcome is ResourceOutcome.OK
    ready.touch()
    second = start(runner)
    first.join(AMPLE_S)
    assert second.outcome is ResourceOutcome.OK
    assert results[0].outcome is ResourceOutcome.FAILED
    assert len(node.processes()) == 1


def test_a_hung_stop_ends_when_the_resource_is_killed(node: NodeWorld) -> None:
    runner = node.runner(Script(name="web", stop=("/bin/sh", "-c", "trap '' TERM; sleep 600")))
    results: list[Result] = []
    stopping = threading.Thread(target=lambda: results.append(runner.run("web", Operation.STOP, 600)))
    stopping.start()
    eventually(lambda: node.processes() != {})
    assert runner.run("web", Operation.KILL, AMPLE_S).outcome is ResourceOutcome.OK
    stopping.join(AMPLE_S)
    assert not stopping.is_alive()
    assert results[0].outcome is ResourceOutcome.FAILED


def test_an_effect_that_was_overtaken_never_lands() -> None:
    turn = Turn()
    before = turn.number
    turn.overtake()
    happened = False
    with pytest.raises(OvertakenError), turn.effect(before, "web"):
        happened = True
    assert not happened
    with turn.effect(turn.number, "web"):
        happened = True
    assert happened


def test_a_fence_waits_for_an_effect_in_progress_but_not_for_ever() -> None:
    turn = Turn()
    stuck = threading.Event()

    def hold() -> None:
        with turn.effect(0, "web"):
            stuck.wait(AMPLE_S)

    holder = threading.Thread(target=hold)
    holder.start()
    assert not turn.overtake()
    assert holder.is_alive()
    stuck.set()
    holder.join(AMPLE_S)


def test_the_runner_answers_whatever_happens(node: NodeWorld) -> None:
    """A directory that cannot be made is nobody's named error, and yet an answer."""
    node.paths.run.parent.mkdir(parents=True)
    node.paths.run.write_text("a file where the directory should be")
    result = start(node.runner(Process(name="web", argv=python(WAIT))))
    assert result.outcome is ResourceOutcome.FAILED
    assert result.code == "HS663"
    node.paths.run.unlink()


def test_records_of_odd_names_are_kept_apart(tmp_path: Path) -> None:
    records = Records(tmp_path / "resources")
    names = ["DSS Professional", "a/b", "a%2fb", "..", "ä"]
    for name in names:
        records.put(Record(name=name, kind="process"))
    assert sorted(r.name for r in records) == sorted(names)
    assert all(path.parent == tmp_path / "resources" for path in tmp_path.rglob("*.json"))
    records.drop("a/b")
    assert records.get("a/b") is None
    assert records.get("a%2fb") is not None


def test_a_start_whose_thread_comes_late_is_overtaken_by_the_fence_before_it(node: NodeWorld) -> None:
    """Decided, then starved or frozen: its thread gets to run only after the fence was verified."""
    runner = node.runner(program(WAIT))
    late = runner.prepare("web", Operation.START)
    assert runner.fence("lease over")[0]
    assert late(5).code == "HS657"
    assert node.processes() == {}


@pytest.mark.parametrize("slot", ["start", "stop"])
def test_a_script_that_was_overtaken_is_not_even_begun(node: NodeWorld, tmp_path: Path, slot: str) -> None:
    """The fence comes between the last look at the turn and the start of the program."""
    trace = tmp_path / "ran"
    runner = node.runner(Script(name="web", **{slot: ("/usr/bin/touch", str(trace))}))
    execute = node.system.processes.execute

    def fence_first(launch: Launch, deadline: Deadline) -> Finished:
        assert runner.fence("lease over")[0]
        return execute(launch, deadline)

    node.system.processes.execute = fence_first  # type: ignore[method-assign]
    assert runner.run("web", Operation(slot), 5).code == "HS657"
    assert not trace.exists()


def test_a_fence_is_not_verified_while_a_slow_start_is_at_work(node: NodeWorld) -> None:
    """What it is about to start comes after the look around: the fence must be tried again."""
    at_work, go_on = threading.Event(), threading.Event()
    runner, begin = node.runner(program(WAIT)), node.system.processes.start

    def slowly(launch: Launch) -> Running:
        at_work.set()
        assert go_on.wait(30)
        return begin(launch)

    node.system.processes.start = slowly  # type: ignore[method-assign]
    starting = threading.Thread(target=start, args=(runner,))
    starting.start()
    assert at_work.wait(10)
    verified, detail = runner.fence("lease over")
    assert not verified
    assert "web" in detail
    go_on.set()
    starting.join(AMPLE_S)
    assert runner.fence("again")[0]
    assert node.processes() == {}


def test_a_start_that_wakes_up_after_the_lease_has_no_effect(node: NodeWorld) -> None:
    result = start(node.runner(program(WAIT), leased=lambda: False))
    assert result.code == "HS657"
    assert node.processes() == {}
