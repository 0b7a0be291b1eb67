"""Verbs of the narrow door about replicated data: what each side holds, whose data count, what was put away.

The replicator is asked for what only it can see or do; the quarantine and watched folders are read from disk,
so that they can be looked at when nothing runs. What decides over data goes into the audit log.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from hsorch.errors import HsorchError, NodeError, RefusedError
from hsorch.node import audit, clock, control
from hsorch.node.core import data_rules
from hsorch.node.paths import Paths
from hsorch.node.replication.generations import Lineage
from hsorch.node.replication.listing import Page, page
from hsorch.node.replication.orders import ChooseInput, Chosen, ConfirmInput, ReplicationStatus
from hsorch.node.replication.quarantine import Incident, Quarantine
from hsorch.node.replication.setup import Places, load
from hsorch.node.replication.survey import Survey, SurveyInput
from hsorch.verbs import StatusReport

LONG_S = 600.0
"""For a walk through all folders."""
SHOWN = 500
T = TypeVar("T")


class DataAsk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Input of survey and listing. after: of listing, the last path of the page before."""

    cluster: str
    theirs: Lineage | None = None
    paths: tuple[bytes, ...] = ()
    after: bytes = b""


class DataOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Input of choose, verify, release-deletions and quarantine-*: who orders what.

    winner: of choose, see ChooseInput. path: a binding. incident, to, only: of the quarantine.
    """

    cluster: str
    actor: str = ""
    id: str = ""
    winner: Lineage | None = None
    path: str = ""
    incident: str = ""
    to: str = ""
    only: tuple[bytes, ...] = ()


class KeptFile(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an incident. what: `file`, `link`, or `tail` (records of the journal, for support)."""

    what: str
    path: bytes
    size: int
    mtime_ns: int


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """At most SHOWN files; total counts all."""

    incident: Incident
    total: int
    files: tuple[KeptFile, ...]


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    files: int
    to: str


def survey(stdin: bytes) -> Survey:
    ask = _parse(stdin, DataAsk)
    return _replicator(ask.cluster, "survey", SurveyInput(theirs=ask.theirs, paths=ask.paths), Survey, LONG_S)


def listing(stdin: bytes) -> Page:
    """Files of the watched folders. Raises NodeError HS685, HS698."""
    ask = _parse(stdin, DataAsk)
    try:
        return page(load(Places.of(Paths(ask.cluster))).watched, ask.after)
    except OSError as error:
        raise NodeError(
            f"the data could not be looked through: {error}",
            hint="see to the folder it names, then ask again",
            code="HS698",
        ) from error


def choose(stdin: bytes) -> Chosen:
    """This side's data count, or (with winner) the other side's. Raises RefusedError HS749."""
    order = _parse(stdin, DataOrder)
    paths = Paths(order.cluster)
    with _audited(paths, order, "select-source"):
        seen = control.ask(paths, "status", b"null", StatusReport)
        leads = data_rules.leads(seen.node, seen.active, seen.holder)
        if leads != (order.winner is None):
            where = f"the group runs on {seen.active}" if seen.active else f"it would start on {seen.holder}"
            raise RefusedError(
                f"{where}: its data cannot be overwritten by those of {seen.peer if leads else seen.node}",
                hint="hsorch bring-out, hsorch set-active NODE, then hsorch select-source NODE",
                code="HS749",
            )
        return _replicator(order.cluster, "choose", ChooseInput(winner=order.winner), Chosen, LONG_S)


def verify(stdin: bytes) -> ReplicationStatus:
    """Compare both sides now; returns when it has begun. Asked at the source."""
    order = _parse(stdin, DataOrder)
    with _audited(Paths(order.cluster), order, "verify"):
        return _replicator(order.cluster, "verify", None, ReplicationStatus, control.ANSWER_WITHIN_S)


def release_deletions(stdin: bytes) -> ReplicationStatus:
    """Deletions that are held back from the standby are meant. Asked at the source."""
    order = _parse(stdin, DataOrder)
    with _audited(Paths(order.cluster), order, "release-deletions"):
        wanted = ConfirmInput(path=order.path)
        return _replicator(order.cluster, "confirm", wanted, ReplicationStatus, control.ANSWER_WITHIN_S)


def follow(stdin: bytes) -> ReplicationStatus:
    """The node that was active may be overwritten by the other one. Asked at that node.

    Raises RefusedError HS749."""
    order = _parse(stdin, DataOrder)
    with _audited(Paths(order.cluster), order, "resync"):
        return _replicator(order.cluster, "follow", None, ReplicationStatus, control.ANSWER_WITHIN_S)


# --------------------------------------------------------------------------- the quarantine


def quarantine_list(stdin: bytes) -> list[Incident]:
    with _kept(_parse(stdin, DataOrder)) as quarantine:
        return quarantine.incidents()


def quarantine_show(stdin: bytes) -> Shown:
    order = _parse(stdin, DataOrder)
    with _kept(order) as quarantine:
        kept = quarantine.listing(order.incident)
        incident = next(i for i in quarantine.incidents() if i.about.incident == order.incident)
    files = tuple(
        KeptFile(
            what=item.what,
            path=os.fsencode(item.root) + b"/" + item.path if item.root else b"",
            size=item.size if item.entry is None else item.entry.size,
            mtime_ns=item.entry.mtime_ns if item.entry is not None else 0,
        )
        for item in kept[:SHOWN]
    )
    return Shown(incident=incident, total=len(kept), files=files)


def quarantine_restore(stdin: bytes) -> Restored:
    """Raises NodeError HS693 (to is not empty, or is replicated itself), HS694, HS695, HS699."""
    order = _parse(stdin, DataOrder)
    with _audited(Paths(order.cluster), order, "quarantine-restore"), _kept(order) as quarantine:
        target = Path(order.to)
        _must_lie_apart(order.cluster, target)
        restored = quarantine.restore(order.incident, target, order.only or None)
        return Restored(files=len(restored), to=str(target))


def quarantine_drop(stdin: bytes) -> dict[str, str]:
    """For good. Raises NodeError HS694, HS696, HS699."""
    order = _parse(stdin, DataOrder)
    with _audited(Paths(order.cluster), order, "quarantine-drop"), _kept(order) as quarantine:
        quarantine.drop(order.incident)
        return {"message": f"{order.incident} is gone"}


VERBS: dict[str, Callable[[bytes], Any]] = {
    "survey": survey,
    "listing": listing,
    "choose": choose,
    "verify": verify,
    "follow": follow,
    "release-deletions": release_deletions,
    "quarantine-list": quarantine_list,
    "quarantine-show": quarantine_show,
    "quarantine-restore": quarantine_restore,
    "quarantine-drop": quarantine_drop,
}


def _must_lie_apart(cluster: str, target: Path) -> None:
    """What is restored below a bound folder would be replicated, or be a foreign write on the standby."""
    if not target.is_absolute():
        raise NodeError(f"{target} is no absolute path", hint="name it from / on", code="HS693")
    real = target.resolve()
    for binding in load(Places.of(Paths(cluster))).bindings:
        if real.is_relative_to(Path(binding.path)):
            raise NodeError(
                f"{target} lies in {binding.path}, which is replicated",
                hint="restore beside it, compare, and let the application take over what is needed",
                code="HS693",
            )


@contextmanager
def _kept(order: DataOrder) -> Iterator[Quarantine]:
    """Raises NodeError HS699: the disk says no."""
    try:
        yield Quarantine(Places.of(Paths(order.cluster)).quarantine, limit=0)
    except OSError as error:
        raise NodeError(
            f"the quarantine cannot be used: {error}",
            hint="see to the disk or folder it names; what is kept is unchanged",
            code="HS699",
        ) from error


@contextmanager
def _audited(paths: Paths, order: DataOrder, verb: str) -> Iterator[None]:
    """Taken down before and after. A disk that refuses the first line stops it: nothing of this is urgent."""

    def note(outcome: str) -> None:
        try:
            audit.append(
                paths.audit,
                audit.AuditRecord(
                    time=clock.utc_text(clock.wall()),
                    id=order.id,
                    verb=verb,
                    actor=order.actor,
                    user=f"uid {os.getuid()} (pid {os.getpid()})",
                    target=order.incident or order.path or ("" if order.winner is None else "the other side"),
                    outcome=outcome,
                ),
            )
        except OSError as error:
            raise NodeError(
                f"the audit log cannot be written: {error.strerror}", hint="see to its disk", code="HS614"
            ) from error

    note("")
    try:
        yield
    except HsorchError as error:
        note(error.code)
        raise
    note("done")


def _replicator(cluster: str, verb: str, body: msgspec.Struct | None, kind: type[T], limit_s: float) -> T:
    data = b"{}" if body is None else msgspec.json.encode(body)
    return control.ask_replicator(Paths(cluster), verb, data, kind, limit_s)


def _parse(stdin: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(stdin, type=kind)
    except msgspec.DecodeError as error:
        raise NodeError(
            f"the request is not a valid {kind.__name__}: {error}",
            hint="controller and node must run the same wire version; run `hsorch plan`",
            code="HS606",
        ) from error
