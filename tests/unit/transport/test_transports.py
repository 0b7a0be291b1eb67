"""What every transport promises, told on this machine and on the public fake."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from hsorch.errors import AuthError, TransportError
from hsorch.transport.base import Completed
from hsorch.transport.fake import FakeTransport
from hsorch.transport.local import LocalTransport


def test_a_program_gets_its_stdin_and_gives_both_outputs_and_its_code() -> None:
    done = LocalTransport().run(["sh", "-c", "cat; echo why >&2; exit 3"], b"hello")
    assert done == Completed(3, b"hello", b"why\n")


def test_arguments_are_never_read_by_a_shell() -> None:
    assert LocalTransport().run(["printf", "%s", "$(id); `id` > /x"]).stdout == b"$(id); `id` > /x"


def test_a_program_that_hangs_is_ended_and_named() -> None:
    with pytest.raises(TransportError, match=r"sleep on this machine did not end within 0\.1 s") as caught:
        LocalTransport().run(["sleep", "60"], timeout=0.1)
    assert caught.value.code == "HS502"


def test_a_program_that_is_missing_is_named() -> None:
    with pytest.raises(TransportError, match="no-such-program") as caught:
        LocalTransport().run(["no-such-program"])
    assert caught.value.code == "HS504"


def test_a_file_arrives_whole_with_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "with 'quote' and space"
    content = bytes(range(256)) * 5000
    LocalTransport().put(content, str(target), 0o600)
    assert target.read_bytes() == content
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [f.name for f in tmp_path.iterdir()] == [target.name]
    assert LocalTransport().get(str(target)) == content


def test_a_file_that_cannot_be_written_or_read_is_named(tmp_path: Path) -> None:
    for act in (lambda t: t.put(b"", str(tmp_path / "no" / "file")), lambda t: t.get(str(tmp_path / "none"))):
        with pytest.raises(TransportError) as caught:
            act(LocalTransport())
        assert caught.value.code == "HS503"
        assert str(tmp_path) in caught.value.message


def test_the_fake_keeps_calls_and_files_and_fails_when_told() -> None:
    node = FakeTransport(lambda argv, stdin: Completed(0, stdin + argv[0].encode()))
    assert node.run(["x"], b"in-").stdout == b"in-x"
    node.put(b"text", "/etc/motd", 0o640)
    assert (node.get("/etc/motd"), node.files["/etc/motd"].mode) == (b"text", 0o640)
    node.fail_next(AuthError("no", hint="key"))
    with pytest.raises(AuthError):
        node.run(["y"])
    assert node.calls == (("x",), ("y",))
    node.close()
    assert node.closed
