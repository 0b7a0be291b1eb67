"""Who may begin a base copy at a standby, and what it may say: what counts there is touched by nobody."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import msgspec
import pytest

from hsorch.node.replication.bindings import STAGING
from hsorch.node.replication.entries import FILE, Entry
from hsorch.node.replication.generations import Lineage
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.messages import Bare, Begin, Bring, Listing, Message, Offer, Pack, Refused, Task
from hsorch.node.replication.meta import Place
from hsorch.node.replication.quarantine import QuarantineFull
from hsorch.node.replication.spool import Spool
from hsorch.node.replication.wire import Broken, Channel
from tests.unit.replication.test_answering import Connection
from tests.unit.replication.test_ends import SENDER, standing

BLANK = Lineage()
HALF = Lineage(current=0xA0, receiving=SENDER.current)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with standing(tmp_path) as made:
        (tmp_path / "data/file").write_bytes(b"what stands there")
        yield made


def becomes(ground: Ground, lineage: Lineage, *, consistent: bool = False) -> None:
    ground.meta.change(generations=lineage, consistent=consistent)


def says(ground: Ground, *messages: tuple[Message, bytes]) -> list[Message]:
    """What the source hears that says this and no more."""
    spool, connection = Spool(ground), Connection()
    for message, body in messages:
        connection.say(message, body)
    connection._said.put(None)
    source = msgspec.structs.replace(ground.hello(), node="a", lineage=SENDER)
    with pytest.raises(Broken):
        spool.serve(cast(Channel, connection), source)
    return connection.heard


def task(ground: Ground, number: int = 0, *, survey: bool = False) -> tuple[Message, bytes]:
    binding = ground.trees[0].binding
    return Task(binding=binding, mode="content", confirmed=True, tree=number, survey=survey), b""


def file(name: bytes, content: bytes) -> Entry:
    return Entry(name, FILE, 0o644, os.getuid(), os.getgid(), mtime_ns=1, size=len(content), fid=7)


def pack(name: bytes, content: bytes) -> tuple[Message, bytes]:
    return Pack(entries=[file(name, content)]), content


def test_a_standby_whose_files_count_takes_none(ground: Ground) -> None:
    before = ground.meta.value
    heard = says(ground, (Bring(number=1), b""), task(ground), pack(b"file", b"the source's"))
    assert not any(isinstance(message, Bare) for message in heard)
    assert (ground.trees[0].folder / "file").read_bytes() == b"what stands there"
    assert ground.meta.value == before


@pytest.mark.parametrize("lineage", [BLANK, HALF], ids=["blank", "in the middle of a resync"])
def test_one_that_broke_off_counts_for_nothing_and_takes_nothing_over(
    ground: Ground, lineage: Lineage
) -> None:
    becomes(ground, lineage)
    heard = says(ground, (Bring(number=1), b""), task(ground), pack(b"new", b"the source's"))
    assert any(isinstance(message, Bare) for message in heard)
    meta = ground.meta.value
    assert not meta.consistent
    assert meta.generations.receiving == SENDER.current
    assert not Spool(ground).carrying.whole
    assert ground.hot.spans is None, "everything is compared afterwards"


@pytest.mark.parametrize("number", [-1, 1, 1 << 40])
def test_a_folder_that_is_not_bound_ends_the_connection(ground: Ground, number: int) -> None:
    becomes(ground, BLANK)
    says(ground, (Bring(number=1), b""), task(ground, number), pack(b"file", b"the source's"))
    assert (ground.trees[0].folder / "file").read_bytes() == b"what stands there"


@pytest.mark.parametrize("name", [b"../escaped", b"/escaped", f"{STAGING}/1".encode(), b"a/../../escaped"])
def test_a_name_outside_the_folder_ends_the_connection(ground: Ground, name: bytes) -> None:
    becomes(ground, BLANK)
    for said in (pack(name, b"x"), (Offer(number=0, listings=[Listing(b"", [file(name, b"x")])]), b"")):
        heard = says(ground, (Bring(number=1), b""), task(ground), said)
        assert isinstance(heard[-1], Refused)
    assert not (ground.trees[0].folder.parent / "escaped").exists()


@pytest.mark.parametrize(
    "first", [Bring(number=1), Begin(at=Place(), asked_from=0, fresh=True)], ids=["again", "no folder at all"]
)
def test_whoever_brings_no_folder_has_brought_nothing(ground: Ground, first: Message) -> None:
    becomes(ground, BLANK)
    says(ground, (Bring(number=1), b""), (first, b""))
    assert ground.meta.value.keep == f"first-{SENDER.current:016x}", "what stands there is still to be kept"


def test_what_lies_in_staging_is_gone_once_a_stream_begins(ground: Ground) -> None:
    becomes(ground, BLANK)
    says(ground, (Bring(number=1), b""), task(ground))
    assert (ground.trees[0].folder / STAGING).is_dir()
    says(ground, (Begin(at=Place(generation=SENDER.current, lsn=900), asked_from=900, fresh=True), b""))
    assert not (ground.trees[0].folder / STAGING).exists()


@pytest.mark.parametrize(
    ("why", "code"),
    [(OSError(28, "No space left on device"), "HS618"), (QuarantineFull("full", hint="drop"), "HS679")],
    ids=["disk", "quarantine"],
)
def test_a_standby_that_cannot_take_it_says_so(ground: Ground, why: Exception, code: str) -> None:
    becomes(ground, BLANK)
    carrying = Spool(ground).carrying

    def take(*_: object) -> bool:
        raise why

    with pytest.raises(type(why)):
        carrying.take_base_copy(1, SENDER, take)
    assert "the base copy cannot be taken" in carrying.fault
    assert carrying.fault_code == code
