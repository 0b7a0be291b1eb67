"""What a controller remembers of an apply that did not come to its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hsorch.errors import RefusedError
from hsorch.plan import journal as journals
from hsorch.plan.model import Plan
from tests.unit.plan.worlds import plan_of


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of({}, tmp_path)


def test_a_killed_apply_is_remembered_with_what_it_owes(plan: Plan, tmp_path: Path) -> None:
    with journals.opened("demo", tmp_path) as journal:
        journal.opening("op-1", plan)
        journal.mark("lock node-a", "started")
        journal.mark("lock node-a", "done")
        journal.mark("verify", "started")
    pending = journals.peek("demo", tmp_path)
    assert pending is not None
    assert (pending.id, pending.done, pending.plan) == ("op-1", {"lock node-a"}, plan)
    assert pending.owes_bring_in


def test_what_was_undone_is_not_done(plan: Plan, tmp_path: Path) -> None:
    with journals.opened("demo", tmp_path) as journal:
        journal.opening("op-1", plan)
        journal.mark("lock node-a", "done")
        journal.mark("lock node-a", "undone")
        pending = journal.pending()
    assert pending is not None
    assert not pending.done


def test_a_complete_apply_leaves_nothing_to_remember(plan: Plan, tmp_path: Path) -> None:
    with journals.opened("demo", tmp_path) as journal:
        journal.opening("op-1", plan)
        journal.complete()
    assert journals.peek("demo", tmp_path) is None


def test_a_journal_torn_at_any_byte_is_read_up_to_there(plan: Plan, tmp_path: Path) -> None:
    with journals.opened("demo", tmp_path) as journal:
        journal.opening("op-1", plan)
        journal.mark("lock node-a", "done")
    file = tmp_path / "demo" / "apply.ndjson"
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        pending = journals.peek("demo", tmp_path)
        assert pending is None or pending.id == "op-1"


def test_two_applies_of_a_pair_on_one_machine_do_not_meet(tmp_path: Path) -> None:
    hold = (
        "import sys, pathlib; from hsorch.plan import journal\n"
        "with journal.opened('demo', pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", hold, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()
        with pytest.raises(RefusedError, match="another apply of demo"), journals.opened("demo", tmp_path):
            pass
        other.stdin.close()
    with journals.opened("demo", tmp_path):
        pass
