"""The local door: one line each way, answers now or later, nobody but root."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hsorch.errors import NodeError, RefusedError
from hsorch.node import control
from hsorch.node.loop import Loop
from hsorch.node.paths import Paths
from hsorch.node.system.host import host


class Door:
    """A control server whose loop runs in a thread."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.loop: Loop[None] = Loop()
        self.handle: control.Handler = lambda request, caller: caller.answer(control.success(request.verb))
        self.server = control.ControlServer(
            paths.control, self.loop, host(), lambda request, caller: self.handle(request, caller)
        )
        self.open = True
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while self.open:
            self.loop.wait(0.02)

    def close(self) -> None:
        self.open = False
        self.thread.join()
        self.server.close()


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths("plant", tmp_path)
    paths.run.mkdir(parents=True)
    return paths


@pytest.fixture
def door(paths: Paths) -> Iterator[Door]:
    door = Door(paths)
    yield door
    door.close()


def ask(paths: Paths, verb: str = "status", timeout_s: float = 5.0) -> Any:
    return control.ask(paths, verb, b"null", str, timeout_s)


def test_a_verb_is_answered(door: Door) -> None:
    assert ask(door.paths) == "status"


def test_only_the_owner_may_open_the_socket(door: Door) -> None:
    assert door.paths.control.stat().st_mode & 0o777 == 0o600


def test_an_answer_may_come_later_while_others_are_served(door: Door) -> None:
    waiting: list[control.Caller] = []

    def handle(request: control.Request, caller: control.Caller) -> None:
        if request.verb == "operate":
            waiting.append(caller)
            return
        if waiting:
            waiting.pop().answer(control.success("done"))
        caller.answer(control.success("now"))

    door.handle = handle
    answers: list[str] = []
    slow = threading.Thread(target=lambda: answers.append(ask(door.paths, "operate")))
    slow.start()
    while not answers:
        ask(door.paths)
    slow.join()
    assert answers == ["done"]


def test_a_refusal_arrives_with_code_and_hint(door: Door) -> None:
    error = RefusedError("no peer", hint="start the peer", code="HS701")
    door.handle = lambda request, caller: caller.answer(control.failure(error))
    with pytest.raises(RefusedError) as caught:
        ask(door.paths)
    assert (caught.value.code, caught.value.hint) == ("HS701", "start the peer")


def test_no_agent_is_an_error_with_a_way_out(paths: Paths) -> None:
    with pytest.raises(NodeError) as caught:
        ask(paths)
    assert caught.value.code == "HS601"


def test_a_stale_socket_of_a_dead_agent_is_no_agent(paths: Paths) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(paths.control))
    with pytest.raises(NodeError) as caught:
        ask(paths)
    assert caught.value.code == "HS601"


@pytest.mark.parametrize("said", [b"", b'{"ok":true,"da'])
def test_a_replicator_that_dies_while_it_is_asked_does_not_run(paths: Paths, said: bytes) -> None:
    with socket.create_server(str(paths.replicator_control), family=socket.AF_UNIX) as dying:

        def die() -> None:
            caller, _ = dying.accept()
            with caller:
                caller.recv(65_536)
                caller.sendall(said)

        thread = threading.Thread(target=die)
        thread.start()
        with pytest.raises(NodeError) as caught:
            control.ask_replicator(paths, "status", b"{}", str, 5.0)
        thread.join()
    assert caught.value.code == "HS615"


def test_an_answer_that_does_not_come_is_an_error(door: Door) -> None:
    kept: list[control.Caller] = []
    door.handle = lambda request, caller: kept.append(caller)
    with pytest.raises(NodeError) as caught:
        ask(door.paths, timeout_s=0.1)
    assert caught.value.code == "HS602"


@pytest.mark.parametrize("noise", [b"\n", b"{\n", b"[]\n", b"\xff\n"])
def test_noise_is_answered_and_harms_nobody(door: Door, noise: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(door.paths.control))
        client.sendall(noise)
        reply = msgspec.json.decode(client.recv(65_536))
    assert reply["code"] == "HS606"
    assert ask(door.paths) == "status"


def test_a_client_that_hangs_up_or_talks_without_end_is_dropped(door: Door) -> None:
    with socket.socket(socket.AF_UNIX) as hangs_up:
        hangs_up.connect(str(door.paths.control))
    with socket.socket(socket.AF_UNIX) as chatter:
        chatter.connect(str(door.paths.control))
        with pytest.raises(ConnectionError):
            chatter.sendall(b"x" * 64 * control.LONGEST_LINE)
    assert ask(door.paths) == "status"


def test_clients_that_leak_connections_lock_nobody_out(door: Door) -> None:
    leaked = [socket.socket(socket.AF_UNIX) for _ in range(2 * control.MOST_CLIENTS)]
    for client in leaked:
        client.connect(str(door.paths.control))
    assert ask(door.paths) == "status"
    assert leaked[0].recv(1) == b""
    for client in leaked:
        client.close()


def test_another_user_is_turned_away(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    turned: Callable[[object, int], bool] = lambda self, user_id: False  # noqa: E731
    monkeypatch.setattr(type(host()), "may_operate", turned)
    with pytest.raises(RefusedError) as caught:
        ask(door.paths)
    assert caught.value.code == "HS609"
