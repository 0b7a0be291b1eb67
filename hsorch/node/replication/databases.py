"""Whether databases below the bound folders are replicated whole and in order, by the names that are there.

Warns only: which names belong together is bindings.py's knowledge.
"""

from __future__ import annotations

import os

from hsorch.node.replication.bindings import Binding, incomplete
from hsorch.node.replication.ground import Ground
from hsorch.verbs import LimitReport

MOST = 200_000
"""Names of a folder that are looked at: a database has fewer."""


def gaps(ground: Ground) -> tuple[LimitReport, ...]:
    """HS635. Raises OSError."""
    names = {tree.binding.path: _names(tree.binding, tree.path("")) for tree in ground.trees}
    names.update((binding.path, _names(binding, binding.path)) for binding in ground.setup.watched)
    found = incomplete(ground.setup.bindings, names)
    return tuple(LimitReport(code="HS635", message=f.message, hint=f.hint) for f in found)


def _names(binding: Binding, root: str) -> tuple[str, ...]:
    """Relative. Of files also those that are not bound: what a binding leaves out is what matters. Folders
    that are not bound are not entered: a mount of ours may lie over one."""
    found: list[str] = []
    for folder, folders, files in os.walk(root):
        inside = os.path.relpath(folder, root)
        prefix = "" if inside == "." else f"{inside}/"
        folders[:] = [name for name in folders if binding.enters(prefix + name)]
        found += [prefix + name for name in files]
        if len(found) > MOST:
            break
    return tuple(found)
