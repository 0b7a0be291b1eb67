"""Operators' verbs on a real pair: from the controller, from a node, and when only an operator can help."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.errors import ExitCode
from hsorch.lab import lifecycle
from tests.lab.world import Pair, copy_example, fresh_name, hsorch, until

pytestmark = pytest.mark.lab

ON_A_NODE = str(Path(sys.executable).with_name("hsorch"))
"""The nodes of a lab see the file system of this machine."""


def test_switch_moves_the_vip_and_tells_how_long_it_was_away(pair: Pair) -> None:
    before = pair.active
    done = hsorch("switch", str(pair.manifest), "--yes")
    assert re.search(r"the group was away for \d+ ms", done.stdout)
    assert pair.vip_holders() == [pair.other(before)]


def test_an_operator_on_a_node_needs_no_manifest(pair: Pair) -> None:
    pair.wait_protected()
    before = pair.active
    standby = pair.other(before)
    assert "● UP   ● PROTECTED" in pair.exec(standby, ON_A_NODE, "status", "--here").stdout
    done = pair.exec(standby, ON_A_NODE, "switch", "--here", "--yes", timeout=60)
    assert done.returncode == 0, done.stderr
    pair.wait_active(standby)


def test_bring_out_takes_the_vip_from_both_and_bring_in_gives_it_back(pair: Pair) -> None:
    pair.wait_protected()
    hsorch("bring-out", str(pair.manifest), "--confirm", pair.cluster)
    assert pair.vip_holders() == []
    assert hsorch("status", str(pair.manifest), check=False).returncode == ExitCode.ERROR
    hsorch("bring-in", str(pair.manifest), "--yes")
    pair.wait_protected()
    assert len(pair.vip_holders()) == 1


def test_takeover_of_a_healthy_pair_is_refused_with_the_right_verb(pair: Pair) -> None:
    pair.wait_protected()
    done = hsorch("takeover", str(pair.manifest), "--force", "--confirm", pair.cluster, check=False)
    assert done.returncode == ExitCode.REFUSED
    assert "hsorch switch" in done.stderr


@pytest.fixture
def without_witness(lab_allowed: None, tmp_path: Path) -> Iterator[Pair]:
    """The example pair without a third vote."""
    name = fresh_name()
    manifest = copy_example(tmp_path, name)
    text = re.sub(r"^witness:\n(?:  .*\n)+", "witness: none\n", manifest.read_text(), flags=re.MULTILINE)
    manifest.write_text(text + "\naccept_risk: [manual-takeover]\n")
    try:
        hsorch("apply", str(manifest), "--yes")
        yield Pair(name, manifest)
    finally:
        lifecycle.down(name)


def test_without_a_witness_the_standby_waits_for_the_operator(without_witness: Pair) -> None:
    pair = without_witness
    pair.wait_active("node-a")
    pair.fault("crash", "node-a")
    waited = hsorch("explain", str(pair.manifest))
    assert "node-b would not take over by itself" in waited.stdout
    assert "takeover --force" in waited.stdout
    assert pair.active == ""
    unapproved = hsorch("takeover", str(pair.manifest), "--force", check=False)
    assert unapproved.returncode == ExitCode.REFUSED
    hsorch("takeover", str(pair.manifest), "--force", "--confirm", pair.cluster)
    pair.wait_active("node-b")
    pair.heal()
    until("the old active node stands by", lambda: pair.status("node-a") is not None)
    assert pair.vip_holders() == ["node-b"]
