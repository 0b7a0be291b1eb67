"""What the source makes of a standby's answers, once it has heard them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.node.replication.capture.outlining import Outlining, Stopped
from hsorch.node.replication.entries import FILE
from hsorch.node.replication.image import Image, Told
from hsorch.node.replication.messages import Pictured
from hsorch.node.replication.record import Damaged, Kind, Record
from tests.replicators.comparing import Compared
from tests.unit.replication.test_comparison import OWNER, follow
from tests.unit.replication.test_outline import FILES, Pair


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path, FILES)


def test_names_change_while_it_is_read_what_was_written_meanwhile(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That may be hours of writing."""
    records, waited = pair.here.journal.records, 0.0

    def slowly(lsn: int, until: int | None = None) -> Iterator[Record]:
        nonlocal waited
        for record in records(lsn, until):
            if record.kind is Kind.WRITE:
                maker = threading.Thread(target=make_folder)
                maker.start()
                maker.join(20)
                waited += maker.is_alive()
            yield record

    def make_folder() -> None:
        with contextlib.suppress(FileExistsError):
            pair.capture.names.make_folder(pair.here.tree, "meanwhile", 0o700, OWNER)

    with monkeypatch.context() as patch:
        patch.setattr(pair.here.journal, "records", slowly)
        begin = pair.here.journal.append(Kind.MIRROR_BEGIN)
        compared = Compared([pair.here.tree], pair.capture, [pair.there.tree])
        pair.write("a", b"written meanwhile")
        end = compared.run(begin)
    assert not waited
    follow(pair.there, pair.here.journal, begin, end)
    assert pair.equal


def test_a_comparison_that_was_given_up_takes_nothing_from_the_one_after_it(pair: Pair) -> None:
    """It ends only once it has weighed all that is missing."""
    journal, (weighs, may_end) = pair.here.journal, (threading.Event(), threading.Event())

    def weigh(_: Image) -> None:
        weighs.set()
        may_end.wait()
        raise Stopped

    def ends() -> None:
        with pytest.raises(Stopped):
            first.run(journal.append(Kind.MIRROR_BEGIN))

    first = Compared([pair.here.tree], pair.capture, [pair.there.tree], before=weigh)
    old = threading.Thread(target=ends)
    old.start()
    weighs.wait()

    def go_on(_: Image) -> None:
        may_end.set()
        old.join()
        application = threading.Thread(target=rename)
        application.start()
        application.join()

    def rename() -> None:
        pair.capture.names.rename(pair.here.tree, "d", "elsewhere", replace=True)

    begin = journal.append(Kind.MIRROR_BEGIN)
    (pair.copy / "d/b").write_bytes(b"astray")
    end = Compared([pair.here.tree], pair.capture, [pair.there.tree], before=go_on).run(begin)
    follow(pair.there, journal, begin, end)
    assert pair.equal


@pytest.mark.parametrize("name", [b"../x", b"d/../../x", b"/etc/passwd", b"d//x"])
def test_a_standby_that_names_what_lies_outside_is_not_believed(pair: Pair, name: bytes) -> None:
    outlining = Outlining([pair.here.tree], pair.capture.log)
    outlining.hear(Pictured(lsn=1, number=0, objects=[Told(0, name, FILE, beyond=True)], same=bytes(9)))
    with pytest.raises(Damaged, match="the standby names"):
        outlining.run(0, lambda _: None)
