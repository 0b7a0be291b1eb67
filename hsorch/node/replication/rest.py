"""Where no part is played: how things stand, by what the last one left; and how to begin with nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from hsorch.node.replication.bound import Bound
from hsorch.node.replication.capture.group import clear_mounts
from hsorch.node.replication.folders import Folders
from hsorch.node.replication.generations import Lineage
from hsorch.node.replication.ground import TORN
from hsorch.node.replication.meta import Meta, MetaFile, Place, recall
from hsorch.node.replication.orders import ReplicationStatus
from hsorch.node.replication.segments import end_by_size
from hsorch.node.replication.setup import Places, Setup


def begin_empty(places: Places, setup: Setup, boot: str) -> None:
    """An operator chose whose data count while a bound disk is not the one that was, or what is remembered
    of the data cannot be read, or is another group's: the disks that are there now are the ones, and nothing
    is known of them.

    Raises OSError, ValueError.
    """
    clear_mounts([Path(binding.path) for binding in setup.ordered])
    kept = (
        (Bound, places.bound),
        (lambda file: recall(file, setup.job), places.meta),
        (Folders, places.folders),
    )
    for read, file in kept:
        try:
            read(file)
        except FileNotFoundError:
            continue
        except ValueError:
            file.unlink()
    first = Meta(node=setup.node, job=bytes.fromhex(setup.job), boot=boot)
    bound, meta = Bound(places.bound), MetaFile(places.meta, first)
    shutil.rmtree(places.journal, ignore_errors=True)
    meta.change(
        generations=Lineage(), checkpoint=Place(), consistent=False, guarded=False, role="none",
        marks=(0, 0), staged_over=None, keep="", verify_needed="", torn=False,
    )  # fmt: skip
    for binding in setup.bindings:
        bound.begin_anew(binding.path)
        bound.adopt(binding.path)
        bound.change(binding.path, changed="")


def give_up(places: Places) -> None:
    """The spec replicates nothing any more. Raises OSError."""
    if places.setup.exists():
        places.given_up.touch(mode=0o600)
        places.setup.unlink()


def take_on(places: Places) -> None:
    """The spec replicates again what it had given up: as for the first time. What was put away stays.

    Raises OSError."""
    if places.given_up.exists():
        shutil.rmtree(places.journal, ignore_errors=True)
        for file in (places.meta, places.mark, places.hot, places.dirty, places.bound, places.folders):
            file.unlink(missing_ok=True)
        places.given_up.unlink()


def at_rest(places: Places, setup: Setup) -> ReplicationStatus:
    """A node whose durable state is torn says a fault, one that has none says nothing at all."""
    plain = ReplicationStatus(role="none", state="stopped", mode=setup.level, blank=True)
    try:
        meta, bound = recall(places.meta, setup.job).value, Bound(places.bound)
        end = meta.generations.end if meta.clean else end_by_size(places.journal)
    except FileNotFoundError:
        return plain
    except (OSError, ValueError) as error:
        return msgspec.structs.replace(plain, fault=str(error), fault_code=TORN)
    lineage = meta.generations
    return ReplicationStatus(
        role="none",
        state="stopped",
        mode=setup.level,
        was=meta.role,
        epoch=meta.epoch,
        consistent=meta.consistent and (meta.role != "target" or bound.whole(setup.watched)),
        blank=lineage.blank,
        generation=lineage.current,
        ancestors=tuple(fork.generation for fork in lineage.ancestors()),
        lsn=end,
        guarded=meta.role == "target" and meta.guarded,
        verify_needed=meta.verify_needed,
    )
