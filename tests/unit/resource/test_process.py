"""Supervised programs: started once, found again, stopped gently, killed completely."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hsorch.node.core.types import ResourceOutcome
from hsorch.spec import CommandCheck, Process
from tests.unit.resource.world import (
    CLUSTER,
    NodeWorld,
    check,
    eventually,
    kill,
    program,
    python,
    start,
    stop,
)

WAIT = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


def test_a_program_runs_after_start_and_is_gone_after_stop(node: NodeWorld) -> None:
    runner = node.runner(program(WAIT))
    assert start(runner).outcome is ResourceOutcome.OK
    assert check(runner).outcome is ResourceOutcome.OK
    assert len(node.processes()) == 1
    assert stop(runner).outcome is ResourceOutcome.OK
    assert node.processes() == {}
    stopped = check(runner)
    assert (stopped.outcome, stopped.code) == (ResourceOutcome.FAILED, "HS660")


def test_starting_twice_starts_once(node: NodeWorld) -> None:
    runner = node.runner(program(WAIT))
    start(runner)
    before = node.processes()
    assert "already" in start(runner).detail
    assert node.processes() == before


def test_stopping_what_does_not_run_is_no_error(node: NodeWorld) -> None:
    assert stop(node.runner(program(WAIT))).outcome is ResourceOutcome.OK


def test_a_program_that_ends_at_once_fails_its_start_with_its_last_words(node: NodeWorld) -> None:
    runner = node.runner(program("import sys; sys.exit('no port left')"))
    result = start(runner)
    if result.outcome is ResourceOutcome.OK:  # a slow machine: it had not come as far within the settle time
        eventually(lambda: check(runner).outcome is ResourceOutcome.FAILED)
        result = check(runner)
    assert result.code == "HS660"
    assert "no port left" in result.output


def test_a_missing_program_is_named(node: NodeWorld) -> None:
    result = start(node.runner(Process(name="web", argv=("/nonexistent/webd",))))
    assert (result.outcome, result.code) == (ResourceOutcome.FAILED, "HS655")
    assert "/nonexistent/webd" in result.detail


def test_a_missing_user_is_named(node: NodeWorld) -> None:
    result = start(node.runner(Process(name="web", argv=("/bin/true",), user="no-such-user")))
    assert result.code == "HS655"
    assert "no-such-user" in result.detail


def test_a_program_sees_its_directory_and_environment_but_not_ours(
    node: NodeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_AGENT", "x")
    code = (
        "import os, time; open('seen', 'w').write(repr(sorted(os.environ))); "
        "os.rename('seen', 'done'); time.sleep(600)"
    )
    home = tmp_path / "home"
    home.mkdir()
    web = Process(name="web", argv=python(code), directory=str(home), environment={"MODE": "hot"})
    start(node.runner(web))
    eventually(lambda: (home / "done").exists())
    seen = (home / "done").read_text()
    assert "MODE" in seen
    assert "HSORCH_CLUSTER" in seen
    assert "SECRET_OF_THE_AGENT" not in seen


def test_a_program_runs_as_its_user(node: NodeWorld, tmp_path: Path) -> None:
    if os.geteuid() != 0 or "4294967295" not in Path("/proc/self/uid_map").read_text():
        pytest.skip("only root outside of a user namespace can start a program as another user")
    code = (
        "import os, time; print(os.getuid(), os.getgroups(), os.environ['USER'], flush=True); time.sleep(600)"
    )
    runner = node.runner(Process(name="web", argv=("/usr/bin/python3", "-S", "-c", code), user="nobody"))
    assert start(runner).outcome is ResourceOutcome.OK
    log = node.paths.resources / "web.log"
    eventually(lambda: "nobody" in log.read_text())
    assert log.read_text().startswith("65534 [")
    assert "0" not in log.read_text().partition("[")[2].partition("]")[0].split(", ")


def test_stop_of_a_deaf_program_reports_the_time_limit_and_leaves_the_kill_to_the_core(
    node: NodeWorld,
) -> None:
    runner = node.runner(program(DEAF))
    start(runner)
    log = node.paths.resources / "web.log"
    eventually(lambda: "deaf" in log.read_text())
    result = stop(runner, limit_s=0.3)
    assert (result.outcome, result.code) == (ResourceOutcome.TIMEOUT, "HS656")
    assert node.processes() != {}
    assert kill(runner).outcome is ResourceOutcome.OK
    assert node.processes() == {}


def test_kill_ends_children_that_forked_away_into_sessions_of_their_own(
    node: NodeWorld, tmp_path: Path
) -> None:
    """A classic daemon: forks twice, leads a new session, ignores TERM, its parents are gone."""
    code = f"""
import os, signal, time
signal.signal(15, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    open({str(tmp_path / "away")!r}, 'w').write(str(os.getpid()))
    time.sleep(600)
time.sleep(600)
"""
    runner = node.runner(program(code))
    start(runner)
    eventually(lambda: bool((tmp_path / "away").exists() and (tmp_path / "away").read_text()))
    away = int((tmp_path / "away").read_text())
    assert kill(runner).outcome is ResourceOutcome.OK
    assert not _alive(away)


def test_kill_ends_a_child_that_lost_its_mark(node: NodeWorld, tmp_path: Path) -> None:
    """`env -i` clears the environment; descent still tells whose child it is."""
    code = f"""
import os, subprocess
child = subprocess.Popen(['env', '-i', 'sleep', '600'])
open({str(tmp_path / "bare")!r}, 'w').write(str(child.pid))
child.wait()
"""
    runner = node.runner(program(code))
    start(runner)
    eventually(lambda: bool((tmp_path / "bare").exists() and (tmp_path / "bare").read_text()))
    bare = int((tmp_path / "bare").read_text())
    assert kill(runner).outcome is ResourceOutcome.OK
    assert not _alive(bare)


def test_kill_outruns_a_program_that_forks_all_the_time(node: NodeWorld) -> None:
    code = """
import os, time
while True:
    if os.fork() == 0:
        os.setsid()
    time.sleep(0.05)
    if len(os.listdir('/proc')) > 2000:
        break
"""
    runner = node.runner(program(code))
    start(runner)
    eventually(lambda: len(node.processes()) > 4)
    assert kill(runner).outcome is ResourceOutcome.OK
    assert node.processes() == {}


def test_a_program_outlives_a_killed_agent_and_the_next_agent_takes_it_over(node: NodeWorld) -> None:
    agent = f"""
import sys, time
sys.path[:0] = {sys.path!r}
from pathlib import Path
from tests.unit.resource import world
world.CLUSTER = {CLUSTER!r}
runner = world.NodeWorld(Path({str(node.root)!r})).runner(world.program({WAIT!r}))
print(world.start(runner).detail, flush=True)
time.sleep(600)
"""
    old = subprocess.Popen([sys.executable, "-c", agent], stdout=subprocess.PIPE, text=True)
    assert old.stdout is not None
    assert "process" in old.stdout.readline()
    old.send_signal(signal.SIGKILL)
    old.wait()
    old.stdout.close()
    running = node.processes()
    assert len(running) == 1
    new = node.restart(program(WAIT))
    assert check(new).outcome is ResourceOutcome.OK
    assert "already" in start(new).detail
    assert node.processes() == running
    assert stop(new).outcome is ResourceOutcome.OK
    assert node.processes() == {}


def test_a_lost_record_does_not_make_a_second_instance(node: NodeWorld) -> None:
    runner = node.runner(program(WAIT))
    start(runner)
    first = node.processes()
    (node.paths.resources / "web.json").write_bytes(b"\0torn")
    assert start(runner).outcome is ResourceOutcome.OK
    assert len(node.processes()) == 1
    assert node.processes().keys() != first.keys()


def test_start_waits_for_the_probe_and_undoes_itself_when_it_never_answers(node: NodeWorld) -> None:
    never = Process(name="web", argv=python(WAIT), probe=CommandCheck(argv=("false",)))
    result = start(node.runner(never), limit_s=8.0)
    assert (result.outcome, result.code) == (ResourceOutcome.TIMEOUT, "HS656")
    assert "false ended with 1" in result.detail
    assert node.processes() == {}


def test_a_hung_program_fails_its_check_although_it_runs(node: NodeWorld, tmp_path: Path) -> None:
    healthy = tmp_path / "healthy"
    healthy.touch()
    probe = CommandCheck(argv=("test", "-e", str(healthy)))
    runner = node.runner(Process(name="web", argv=python(WAIT), probe=probe))
    assert start(runner).outcome is ResourceOutcome.OK
    healthy.unlink()
    assert check(runner).code == "HS659"


def test_a_log_keeps_its_newest_part_when_it_grows(node: NodeWorld) -> None:
    from hsorch.node.system.linux.processes import shorten

    node.paths.resources.mkdir(parents=True)
    log = node.paths.resources / "web.log"
    log.write_bytes(b"old " * 300_000 + b"the end")
    shorten(log)
    assert log.stat().st_size == 512 * 1024
    assert log.read_bytes().endswith(b"the end")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
