"""An ordered folder under a real mount, its journal, and a standby's copy of it, on this machine."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from hsorch.node.replication.apply import Applier
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.capture.group import Capture, recover
from hsorch.node.replication.gate import Gate
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.segments import FIRST_LSN, Start
from hsorch.node.replication.tree import HIDDEN, Tree

START = Start(job=b"j" * 16, generation=0x5EED)


def binding(path: Path, **fields: object) -> Binding:
    return Binding(path=str(path), kind="ordered", **fields)  # type: ignore[arg-type]


class Active:
    """data/ is what the application sees."""

    def __init__(self, home: Path, gate: Gate | None = None, **fields: object) -> None:
        self.home = home
        self.data = home / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self.faults: list[str] = []
        self.gate = gate or Gate("none")
        self.tree = Tree(0, binding(self.data, **fields))
        self.journal = Journal(home / "journal", START)
        self.capture = Capture(
            [self.tree], self.journal, home / "mark", self.gate, on_fault=self.faults.append
        )
        self.redone = recover([self.tree], self.journal, self.capture.redone_from or FIRST_LSN, refuse)

    def __enter__(self) -> Active:
        self.capture.mount()
        return self

    def __exit__(self, *_: object) -> None:
        self.capture.unmount(force=True)


def refuse(tree: Tree, name: str) -> None:
    raise AssertionError(f"{tree.folder}/{name} is in the way")


def replay(journal: Journal, target: Path, until: int | None = None, **fields: object) -> Applier:
    """The standby's folder after the records up to `until`."""
    target.mkdir(parents=True, exist_ok=True)
    applier = Applier([Tree(0, binding(target, **fields))], refuse)
    for record in journal.records(journal.first, until):
        applier.apply(record)
    applier.checkpoint()
    applier.close()
    return applier


def picture(root: Path, *, times: bool = True) -> dict[str, tuple[object, ...]]:
    """What must be equal on both sides; times of files only (a folder's follow from its content)."""
    found: dict[str, tuple[object, ...]] = {}
    twins: dict[int, str] = {}
    for folder, folders, files in os.walk(root):
        folders.sort()  # so that of several names of one file the same one comes first
        for name in sorted([*folders, *files]):
            path = f"{folder}/{name}"
            relative = os.path.relpath(path, root)
            what = os.lstat(path)
            base = (stat.S_IFMT(what.st_mode), stat.S_IMODE(what.st_mode), what.st_uid, what.st_gid)
            if stat.S_ISLNK(what.st_mode):
                found[relative] = (*base, os.readlink(path))
                continue
            if not stat.S_ISREG(what.st_mode) and not stat.S_ISDIR(what.st_mode):
                continue  # a pipe, socket or device: of its own machine only
            xattrs = {key: os.getxattr(path, key) for key in os.listxattr(path) if not key.startswith(HIDDEN)}
            if stat.S_ISDIR(what.st_mode):
                found[relative] = (*base, xattrs)
                continue
            twin = twins.setdefault(what.st_ino, relative) if what.st_nlink > 1 else ""
            content = Path(path).read_bytes()
            found[relative] = (*base, xattrs, content, twin, what.st_mtime_ns if times else 0)
    return found
