"""Looking at both nodes: one command each, and the gravest of all failures is the one that is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hsorch.errors import AuthError, HsorchError, NodeError, TransportError
from hsorch.plan.observe import look, look_argv, observe
from hsorch.transport.base import Completed
from hsorch.transport.fake import FakeTransport
from hsorch.transport.local import LocalTransport

FACTS = b"""{"machine": {"hostname": "a", "administrator": true, "python": "/p", "version": [3, 11],
 "extensions": "x", "wall": 1.0, "systemd": false, "disk_free": 1}, "from_a_later_version": 1}"""


def test_each_node_is_asked_once(tmp_path: Path) -> None:
    nodes = {name: FakeTransport(lambda argv, stdin: Completed(0, FACTS)) for name in ("a", "b")}
    seen = observe(nodes, "demo")
    assert [len(node.calls) for node in nodes.values()] == [1, 1]
    assert all(o.facts is not None and o.facts.machine.hostname == "a" for o in seen.values())


def test_a_real_bare_machine_answers_without_any_runtime() -> None:
    facts = look(LocalTransport(), "here", "no-such-cluster")
    assert facts.machine.administrator == (os.geteuid() == 0)
    assert facts.machine.disk_free > 0


def test_a_broken_runtime_does_not_hide_the_machine(tmp_path: Path) -> None:
    broken = tmp_path / "hsorch-node"
    broken.write_text("#!/no/such/python\n")
    broken.chmod(0o755)
    argv = [str(broken) if part.endswith("current/hsorch-node") else part for part in look_argv("demo")]

    class Redirected(LocalTransport):
        def run(self, _argv: list[str], stdin: bytes = b"", timeout: float = 30.0) -> Completed:
            return super().run(argv, stdin, timeout)

    assert look(Redirected(), "here", "demo").runtime == ""


def test_a_machine_without_python_says_what_to_install() -> None:
    node = FakeTransport(lambda argv, stdin: Completed(127, b"", b"python3: not found"))
    with pytest.raises(NodeError, match="no python3 on node-a") as caught:
        look(node, "node-a", "demo")
    assert (caught.value.code, "apt-get install python3" in caught.value.hint) == ("HS404", True)


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (TransportError("off", hint="on"), AuthError("key", hint="key"), AuthError),
        (NodeError("odd", hint="x"), TransportError("off", hint="on"), TransportError),
    ],
)
def test_the_gravest_failure_is_told_and_the_other_beside_it(
    first: HsorchError, second: HsorchError, told: type[HsorchError]
) -> None:
    nodes = {"a": FakeTransport(), "b": FakeTransport()}
    for node, error in zip(nodes.values(), (first, second), strict=True):
        node.fail_next(error)  # type: ignore[arg-type]
    with pytest.raises(told) as caught:
        observe(nodes, "demo")
    assert "also a:" in caught.value.detail
