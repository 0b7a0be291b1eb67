"""Names that a source says: none leads out of the bound folder, and as many as there are get across."""

from __future__ import annotations

import os

import pytest

from hsorch.node.replication import mirror
from hsorch.node.replication.bindings import STAGING
from hsorch.node.replication.entries import FILE, FOLDER, LINK, Entry
from hsorch.node.replication.messages import (
    Close,
    Folders,
    Gone,
    Listing,
    Mark,
    Message,
    Offer,
    Open,
    Pack,
    Piece,
    Prune,
    Reached,
    Refused,
    Task,
    Twins,
)
from hsorch.node.replication.mirror import Mirror
from hsorch.node.replication.record import Buffer
from tests.unit.replication.mirrors import Trees


def test_names_that_leave_the_root_are_refused(trees: Trees) -> None:
    with trees.channel() as channel:
        channel.send(Task(binding=trees.binding))
        channel.send(Pack(entries=[Entry(b"../evil", FILE, 0o644, 0, 0, 1, 4)]), b"evil")
        frame = channel.receive(10)
    assert frame is not None
    assert isinstance(frame.message, Refused)
    assert not (trees.there.parent / "evil").exists()


STAGED = STAGING.encode()


@pytest.mark.parametrize("name", [b"../outside", b"a/../../outside", b"/etc", STAGED, STAGED + b"/part"])
@pytest.mark.parametrize("kind", ["Open", "Listing", "Entry of a Listing"])
def test_no_message_names_what_is_not_below_the_folder(trees: Trees, kind: str, name: bytes) -> None:
    """Nor what the standby keeps there for itself."""
    outside = trees.there.parent / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"precious")
    entry = Entry(name, FILE, 0o644, 0, 0, 1, 4)
    said: dict[str, Message] = {
        "Open": Open(file=1, entry=entry, fresh=True),
        "Listing": Offer(number=1, listings=[Listing(name, [], last=True)]),
        "Entry of a Listing": Offer(number=1, listings=[Listing(b"", [entry], last=True)]),
    }
    with trees.channel() as channel:
        channel.send(Task(binding=trees.binding))
        channel.send(said[kind])
        channel.send(Prune())
        frame = channel.receive(10)
    assert frame is not None
    assert isinstance(frame.message, Refused)
    assert "leaves" in frame.message.why
    assert (outside / "file").read_bytes() == b"precious"


def test_no_name_leads_the_standby_through_a_link(trees: Trees) -> None:
    """Whatever the source says, also one that was taken over by somebody else."""
    outside = trees.there.parent / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"precious")
    link = Entry(b"way", LINK, 0o777, 0, 0, 1, to=b"../outside")
    folder = Entry(b"way/made", FOLDER, 0o755, 0, 0)
    with trees.channel() as channel:
        channel.send(Task(binding=trees.binding))
        channel.send(Offer(number=1, listings=[Listing(b"", [link, folder])], whole=False))
        for name in (b"way/file", b"way/new"):
            channel.send(Pack(entries=[Entry(name, FILE, 0o644, 0, 0, 1, 4)]), b"evil")
        large = Entry(b"way/file", FILE, 0o644, 0, 0, 1, 4)
        channel.send(Open(file=1, entry=large, fresh=True))
        channel.send(Piece(file=1, offset=0), b"evil")
        channel.send(Close(file=1, entry=large))
        channel.send(Twins(pairs=[(b"way/twin", b"way/file")]))
        channel.send(Gone(paths=[b"way/file"]))
        channel.send(Folders(entries=[Entry(b"way", FOLDER, 0o000, 0, 0)]))
        channel.send(Mark(number=2))
        while not ((answer := channel.receive(10)) and isinstance(answer.message, Reached)):
            assert answer is not None
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"file": b"precious"}


def test_names_of_one_file_are_told_in_messages_that_fit_the_channel(
    trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "BATCH", 10)
    (trees.here / "name").write_bytes(b"x")
    for n in range(35):
        os.link(trees.here / "name", trees.here / f"further name {n}")
    with trees.channel() as channel:
        told: list[int] = []
        send = channel.send

        def count(message: Message, body: Buffer = b"") -> None:
            if isinstance(message, Twins):
                told.append(len(message.pairs))
            send(message, body)

        monkeypatch.setattr(channel, "send", count)
        Mirror(channel, str(trees.here), Task(binding=trees.binding)).run()
    assert told == [10, 10, 10, 5]
    assert trees.equal()
