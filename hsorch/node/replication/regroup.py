"""From one set of bound folders to the next, on one node, before a part is played under the new one.

What was written under the old set is carried out under the old set, and no record of it is read again. What
the new set brings in counts for nothing on a standby until both nodes were compared: it cannot take over
meanwhile, and what only it had there goes into the quarantine (resync.py). A folder that is not bound any
more stays as it is, on both nodes.
"""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path

import msgspec

from hsorch.errors import HsorchError
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.bound import Bound
from hsorch.node.replication.capture.group import clear_mounts
from hsorch.node.replication.folders import Folders
from hsorch.node.replication.generations import NOWHERE, doubted
from hsorch.node.replication.ground import Ground, begins_at, kept
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.meta import MetaFile, recall
from hsorch.node.replication.record import Damaged
from hsorch.node.replication.segments import Start
from hsorch.node.replication.setup import Places, Setup
from hsorch.node.replication.source import made_whole
from hsorch.node.replication.tree import Tree, sync_filesystem


def take_up(places: Places, setup: Setup, boot: str) -> None:
    """The set of `setup` is the one that is played from now on. Begun again after a crash, it ends the same.

    Raises NodeError HS639, HS674, HS682 (a folder that is new is not there), OSError, ValueError.
    """
    if places.meta.exists():
        kept(lambda file: recall(file, setup.job), places.meta)
    folders = kept(Folders, places.folders)
    before = folders.played
    if before == setup.bindings:
        return
    if before is not None and places.meta.exists():
        clear_mounts([Path(binding.path) for binding in before if binding.kind == "ordered"])
        _wind_up(places, msgspec.structs.replace(setup, bindings=before), boot)
        _number_anew(places, must_compare=folders.lacks(setup.ordered))
        _begin_notes(places, before, setup)
    folders.play(setup.bindings)


def _wind_up(places: Places, old: Setup, boot: str) -> None:
    """Files, journal and checkpoint agree. A disk of the old set may be gone, which is why it was left out:
    then what was written last here counts as unsure, as after a loss of power."""
    meta = kept(MetaFile, places.meta)
    if meta.value.clean:
        return
    try:
        with contextlib.closing(Ground(places, old, boot)) as ground, contextlib.suppress(HsorchError):
            made_whole(ground)  # an image that is not whole is compared in any case
    except (HsorchError, Damaged, OSError, ValueError):
        value = MetaFile(places.meta).value
        lineage = value.generations
        if value.role == "source":
            lineage = doubted(lineage, NOWHERE)
        MetaFile(places.meta).change(
            generations=lineage, consistent=value.role == "source", torn=True, guarded=False, clean=True
        )


def _number_anew(places: Places, *, must_compare: bool) -> None:
    """No record is read again that counts the folders as they were; nothing streams on from the old ones."""
    file = kept(MetaFile, places.meta)
    meta = file.value
    at = meta.staged_over or meta.checkpoint
    with contextlib.closing(Journal(places.journal, begins_at(meta))) as journal:
        if meta.role == "source" or at.lsn == 0:
            at = msgspec.structs.replace(at, generation=journal.generation, lsn=journal.end, crc=journal.crc)
        journal.restart(Start(meta.job, at.generation, at.lsn, at.crc))
    whole = meta.role == "source" or (meta.consistent and not must_compare)
    file.change(
        checkpoint=at,
        staged_over=None,
        keep="",
        marks=(0, 0),
        consistent=whole,
        torn=meta.torn or not whole,
        guarded=meta.guarded and whole,
    )


def _begin_notes(places: Places, before: tuple[Binding, ...], setup: Setup) -> None:
    bound = kept(Bound, places.bound)
    bound.forget(binding.path for binding in before if binding.path not in {b.path for b in setup.bindings})
    for binding in setup.bindings:
        if binding not in before:
            bound.is_there(binding)
            bound.begin_anew(binding.path)
    for number, binding in enumerate(setup.ordered):
        if binding not in before:
            known = next((b for b in before if b.path == binding.path and b.kind == "ordered"), None)
            _forget_identities(Tree(number, binding), known)


def _forget_identities(tree: Tree, known: Binding | None) -> None:
    """Of files that are new to the set: from an earlier time in it, or copied along with a file that has the
    same one by now."""
    with contextlib.closing(tree):
        for name, what in tree.walk():
            if stat.S_ISREG(what.st_mode) and tree.covers(name) and not (known and known.covers(name)):
                tree.drop_fid(name)
        sync_filesystem(tree.descriptor)  # whoever wrote them may not have waited for the disk
