"""Whatever somebody does to a standby's folders, and whatever the application does while the two nodes tell
each other what they have: after a comparison both are equal."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsorch.node.replication import answer
from hsorch.node.replication.capture import outlining
from hsorch.node.replication.messages import Outline
from hsorch.node.replication.tree import Attributes
from tests.unit.replication.test_comparison import OWNER, Application
from tests.unit.replication.test_outline import Pair

FILES = {"a": b"1" * 40, "b": b"2" * 40, "d/a": b"3" * 40, "d/e/a": b"", "f/a": b"5" * 300_000}
names = st.sampled_from(["a", "b", "d/a", "d/b", "d/e/a", "d/e", "d", "f", "f/a", "f/d"])
Deed = tuple[str, str, str, int]
deeds = st.tuples(
    st.sampled_from(
        ["write", "cut", "mode", "time", "xattr", "unlink", "rename", "link", "symlink", "folder", "identity"]
    ),
    names, names, st.integers(0, 3),
)  # fmt: skip


class Intruder:
    """Does to a folder what nobody records."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def do(self, deed: Deed) -> None:
        kind, one, other, number = deed
        name, second = self._root / one, self._root / other
        does: dict[str, Callable[[], object]] = {
            "write": lambda: name.write_bytes(b"%d" % number * 40),
            "cut": lambda: os.truncate(name, number),
            "mode": lambda: name.chmod(0o600 + number),
            "time": lambda: os.utime(name, (number, number)),
            "xattr": lambda: os.setxattr(name, "user.x", b"%d" % number),
            "unlink": lambda: shutil.rmtree(name) if name.is_dir() else name.unlink(),
            "rename": lambda: name.rename(second),
            "link": lambda: os.link(name, second, follow_symlinks=False),
            "symlink": lambda: name.symlink_to(other),
            "folder": lambda: name.mkdir(),
            "identity": lambda: name.is_file() and os.removexattr(name, "user.hsorch.fid"),
        }
        with contextlib.suppress(OSError):
            does[kind]()


class Worker:
    """Does the same through the mount's own calls, as far as the kernel lets them through."""

    def __init__(self, application: Application) -> None:
        self._app = application

    def do(self, deed: Deed) -> None:
        kind, one, other, number = deed
        app, tree, calls = self._app, self._app.tree, self._app.capture
        with contextlib.suppress(OSError):
            name = app.reached(one)
            what = tree.look(name)
            is_file = what is None or what.st_mode & 0o170000 == 0o100000
            if kind in ("write", "cut", "mode", "time", "xattr") and not is_file:
                return
            if kind in ("write", "cut"):
                opened = calls.names.create(tree, name, 0o640, OWNER, os.O_RDWR)
                if kind == "write":
                    calls.files.write(opened, b"%d" % number * 50, number)
                else:
                    calls.files.truncate(opened, number * 20)
                calls.files.close(opened)
            elif kind == "mode":
                calls._attributes.change(tree, name, Attributes(mode=0o640 + number))
            elif kind == "time":
                calls._attributes.change(tree, name, Attributes(mtime=number))
            elif kind == "xattr":
                calls._attributes.change_xattr(tree, name, "user.x", b"%d" % number, 0)
            elif kind == "unlink":
                (calls.names.unlink if is_file else calls.names.remove_folder)(tree, name)
            elif kind == "rename":
                app.rename(name, app.reached(other))
            elif kind == "link":
                calls.names.link(tree, name, app.reached(other))
            elif kind == "symlink":
                calls.names.symlink(tree, name, other, OWNER)
            elif kind == "folder":
                calls.names.make_folder(tree, name, 0o750, OWNER)


@settings(max_examples=150, deadline=None)
@given(st.lists(deeds, max_size=8), st.lists(st.lists(deeds, max_size=3), max_size=8))
def test_both_are_equal_after_a_comparison(astray: list[Deed], meanwhile: list[list[Deed]]) -> None:
    home = Path(tempfile.mkdtemp())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outlining, "BATCH", 1)
        patch.setattr(answer, "BATCH_OBJECTS", 2)
        pair = Pair(home, FILES)
        worker, intruder = Worker(pair.here.application), Intruder(pair.copy)
        for deed in astray:
            intruder.do(deed)

        def go_on(outline: Outline) -> None:
            for deed in meanwhile[outline.number] if outline.number < len(meanwhile) else ():
                worker.do(deed)

        try:
            pair.compare(go_on)
            assert pair.equal
            again = pair.compare()
            assert (again.comparison.copied, again.comparison.repaired) == (0, 0)
        finally:
            pair.close()
            shutil.rmtree(home)
