"""Asking a verb: the answer, the node's refusal in its own words, and everything else that can come back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from hsorch.errors import ExitCode, HsorchError, NodeError, RefusedError, TransportError
from hsorch.node.operate import Ask
from hsorch.transport import door
from hsorch.transport.base import Completed
from hsorch.transport.fake import FakeTransport
from hsorch.verbs import Reply


def asked(done: Completed) -> int:
    return door.ask(FakeTransport(lambda argv, stdin: done), "node-a", "status", Ask(cluster="demo"), int)


def replied(**fields: object) -> Completed:
    return Completed(0, msgspec.json.encode(msgspec.convert(fields, Reply)))


def test_the_verb_runs_through_the_current_runtime_with_the_request_on_stdin() -> None:
    heard: list[tuple[list[str], bytes]] = []

    def answer(argv: list[str], stdin: bytes) -> Completed:
        heard.append((argv, stdin))
        return Completed(0, msgspec.json.encode(Reply(ok=True, data=msgspec.Raw(b"7"))))

    assert door.ask(FakeTransport(answer), "node-a", "status", Ask(cluster="demo"), int) == 7
    assert heard == [(["/var/lib/hsorch/runtime/current/hsorch-node", "status"], b'{"cluster":"demo"}')]


@pytest.mark.parametrize(
    ("code", "kind"), [("HS701", RefusedError), ("HS430", RefusedError), ("HS441", NodeError)]
)
def test_the_nodes_own_words_come_back_with_its_name(code: str, kind: type[HsorchError]) -> None:
    with pytest.raises(kind) as caught:
        asked(replied(ok=False, code=code, message="no", hint="wait", detail="because"))
    assert (caught.value.code, caught.value.message) == (code, "node-a: no")
    assert (caught.value.hint, caught.value.detail) == ("wait", "because")


@pytest.mark.parametrize("code", [126, 127])
def test_a_node_without_runtime_says_how_to_get_one(code: int) -> None:
    with pytest.raises(TransportError, match="not installed on node-a") as caught:
        asked(Completed(code, b"", b"sh: not found"))
    assert caught.value.code == "HS505"
    assert "hsorch apply" in caught.value.hint


@pytest.mark.parametrize("output", [b"", b"Traceback", b'{"ok": true, "data": "seven"}', b"\xff"])
def test_an_answer_that_is_none_shows_what_the_node_wrote(output: bytes) -> None:
    with pytest.raises(NodeError) as caught:
        asked(Completed(1, output, b"ImportError: no msgspec"))
    assert (caught.value.code, caught.value.exit_code) == ("HS506", ExitCode.ERROR)
    assert "ImportError" in caught.value.detail


def test_answers_of_two_nodes_are_parsed_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads inside msgspec crashed the command line."""
    decode: Callable[..., Any] = msgspec.json.decode
    parsing, beside = threading.Lock(), []

    def slow(*arguments: Any, **options: Any) -> Any:
        alone = parsing.acquire(blocking=False)
        if not alone:
            beside.append(arguments)
            return decode(*arguments, **options)
        try:
            threading.Event().wait(0.05)
            return decode(*arguments, **options)
        finally:
            parsing.release()

    monkeypatch.setattr(msgspec.json, "decode", slow)
    done = replied(ok=True, data=msgspec.Raw(b"7"))
    with ThreadPoolExecutor(2) as nodes:
        assert list(nodes.map(asked, [done, done])) == [7, 7]
    assert beside == []
