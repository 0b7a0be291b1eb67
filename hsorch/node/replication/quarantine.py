"""Where data go that must make room: beside the rest of their folder, on the same volume, never replicated.

What stood here before a first mirror, and what a returning active node wrote that its peer never got. Only the
newest set is kept per folder: it is bounded by what the folder held.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from hsorch.node.replication.bindings import STAGING
from hsorch.node.replication.tree import Tree

FOLDER = f"{STAGING}/quarantine"


def empty(trees: Sequence[Tree]) -> None:
    """Everything that the bindings cover goes into a new quarantine, which replaces the one before."""
    for tree in trees:
        root = Path(tree.path(""))
        shutil.rmtree(root / FOLDER, ignore_errors=True)
        found = list(tree.walk())
        for name, what in found:
            if not stat.S_ISDIR(what.st_mode) and tree.covers(name):
                set_aside(tree, name)
        for name, what in reversed(found):
            if stat.S_ISDIR(what.st_mode) and tree.covers_folder(name) and not os.listdir(tree.path(name)):
                os.rmdir(tree.path(name))


def set_aside(tree: Tree, name: str) -> None:
    """One file, link or folder. Raises OSError."""
    to = f"{FOLDER}/{name}"
    os.makedirs(tree.path(os.path.dirname(to)), mode=0o700, exist_ok=True)
    os.rename(tree.path(name), tree.path(to))
