"""Which file a record is about, where others lie beside the bound ones."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from hsorch.node.replication.record import Kind
from tests.unit.replication.test_comparison import follow
from tests.unit.replication.test_outline import Pair


def test_a_copy_that_an_operator_put_beside_a_bound_file_gets_nothing_of_what_is_for_it(
    tmp_path: Path,
) -> None:
    """`cp -a` on the standby takes the identity along."""
    pair = Pair(tmp_path, {"a.db": b"first"}, include=("*.db",))
    shutil.copy2(pair.copy / "a.db", pair.copy / "a-before")
    assert os.getxattr(pair.copy / "a-before", "user.hsorch.fid")
    begin = pair.here.journal.append(Kind.BARRIER)
    pair.write("a.db", b"second")
    follow(pair.there, pair.here.journal, begin, None)
    assert (pair.copy / "a.db").read_bytes() == b"second"
    assert (pair.copy / "a-before").read_bytes() == b"first"


def test_a_bound_folder_that_was_moved_out_of_the_binding_on_the_standby_is_sent_again(
    tmp_path: Path,
) -> None:
    pair = Pair(tmp_path, {"d/e/a": b"content"}, include=("d/**",))
    (pair.copy / "d").rename(pair.copy / "b")
    pair.compare(lambda outline: outline.last or pair.write("d/e/a", b"changed meanwhile"))
    assert (pair.copy / "d/e/a").read_bytes() == b"changed meanwhile"
    assert (pair.copy / "b/e/a").read_bytes() == b"content"
