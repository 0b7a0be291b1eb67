"""What two replicators say to each other (heads of frames, wire.py). Values only.

A channel serves one purpose, named in its Hello. Bulk bytes travel as the frame's body, never in the head.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.entries import Entry
from hsorch.node.replication.generations import Lineage
from hsorch.node.replication.image import Told
from hsorch.node.replication.meta import Place
from hsorch.node.replication.outline import Part

VERSION = 7
"""Raised with every change to what is said here, but Hello and Refused: those every version understands."""


class Said(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of all messages; the name of the class is its tag."""


class Hello(Said, frozen=True, kw_only=True):
    """First message of the node that connected, and the answer of the other one."""

    version: int = VERSION
    job: bytes
    node: str
    purpose: Literal["stream", "mirror", "verify", "watched"]
    epoch: tuple[int, int] = (0, 0)
    """Of the failover core: a lower one has no say any more (failover rule 11)."""
    lineage: Lineage = Lineage()
    end: Place = Place()
    """Where this node's journal or spool ends."""
    folders: bytes = b""
    """folders.likeness() of the ordered ones."""
    doubts: bool = False
    """Where this node's ordered files can differ from anybody's is not known here."""
    unshared: tuple[str, ...] = ()
    """Watched folders of a standby in which files stand that may be its own."""
    midway: bool = False
    """This node's stream began with a comparison whose end it has not heard."""


def foreign(theirs: Hello, folders: bytes) -> str:
    """Why no word is exchanged with a node of another version or of other folders; empty: it is exchanged."""
    if theirs.version != VERSION:
        return (
            f"{theirs.node} speaks version {theirs.version} of the replication protocol, this node version "
            f"{VERSION}: both nodes need the same hsorch (`hsorch apply` brings it)"
        )
    if theirs.folders != folders:
        return (
            f"{theirs.node} binds other folders than this node: both need the same spec "
            "(`hsorch apply` brings it)"
        )
    return ""


class Refused(Said, frozen=True, kw_only=True):
    """The sender of this closes the channel; why is for an operator."""

    why: str


class Bring(Said, frozen=True, kw_only=True):
    """Before the stream: a base copy follows, a Task for each ordered folder. The standby answers with Bare
    once it holds, durably, for nothing that could be counted on. number: of the copy; one that broke off goes
    on under the same."""

    number: int


class Bare(Said, frozen=True, kw_only=True):
    """Answer to a Bring. trees: numbers of the folders without a file, in which no content is to compare."""

    trees: list[int]


class Begin(Said, frozen=True, kw_only=True):
    """The source streams from here on; the standby's spool must end at exactly this place."""

    at: Place
    asked_from: int
    """The source has no questions any more about a MIRROR_BEGIN before it."""
    counted: int = 0
    """So far the source has counted on the standby: one that ends before it lost what it had taken."""
    fresh: bool = False
    """True: the standby forgets its spool and starts at this place, where a record MIRROR_BEGIN stands."""
    extents: dict[int, list[tuple[int, int]]] | None = None
    """fid -> (offset, end): where contents can differ, as far as the source knows; None: everywhere."""


class Outline(Said, frozen=True, kw_only=True):
    """What the source has, after the record MIRROR_BEGIN of this lsn. last: that was all."""

    lsn: int
    number: int
    parts: list[Part]
    last: bool = False


class Pictured(Said, frozen=True, kw_only=True):
    """Answer to an Outline, as the standby's folders are at that record. objects: what it has otherwise.

    same: a byte per item, in order; 1: it is the same there. more: the answer goes on."""

    lsn: int
    number: int
    objects: list[Told]
    same: bytes = b""
    more: bool = False


class Guarded(Said, frozen=True, kw_only=True):
    """on: the source answers flushes only once the standby holds them, from lsn on; so the standby is
    complete. off: no longer. The standby answers with an Ack of this number when that is durable there."""

    on: bool
    number: int
    lsn: int = 0


class Data(Said, frozen=True, kw_only=True):
    """Body: whole records, the first of which is number lsn."""

    lsn: int


class Ack(Said, frozen=True, kw_only=True):
    """Three ends of the same prefix at the standby: spooled, on stable storage there, in the bound files."""

    received: int
    durable: int
    applied: int
    guarded: bool = False
    """The standby holds for complete, durably."""
    answers: int = 0
    """Number of the last Guarded over this connection that is durable there."""
    astray: bool = False
    """What comes next cannot be carried out, as others changed the files that it counts on."""


# ------------------------------------------------ trees: mirror, verify, watched (mirror.py, landing.py)


class Task(Said, frozen=True, kw_only=True):
    """Opens work on one bound tree, from the source. mode: what counts as equal, size and time or content.

    survey: nothing is changed, the answer says what would be. confirmed: the guard lets deletions through.
    tree: number of an ordered folder, of which this is the base copy; None: a watched one.
    """

    binding: Binding
    mode: Literal["quick", "content"] = "quick"
    survey: bool = False
    confirmed: bool = False
    tree: int | None = None


class Listing(msgspec.Struct, frozen=True, array_like=True):
    """Objects of one folder. last: no further listing of this folder follows."""

    folder: bytes
    entries: list[Entry]
    last: bool = True


class Offer(Said, frozen=True, kw_only=True):
    """What the source has. whole: what a finished folder lacks is doomed at the target."""

    number: int
    listings: list[Listing]
    whole: bool = True


class Wanted(Said, frozen=True, kw_only=True):
    """Answer to an Offer, a byte per entry in order: have it, send it, compare its blocks."""

    number: int
    wants: bytes


class Pack(Said, frozen=True, kw_only=True):
    """Whole small files. Body: their contents one after the other, entry.size bytes each."""

    entries: list[Entry]


class Open(Said, frozen=True, kw_only=True):
    """A large file comes in pieces. fresh: the target forgets what it has of it."""

    file: int
    entry: Entry
    fresh: bool


class Hashes(Said, frozen=True, kw_only=True):
    """Body: the source's digests of the blocks from offset to end."""

    file: int
    offset: int
    end: int


class Need(Said, frozen=True, kw_only=True):
    """Answer to Hashes: numbers of the blocks, counted from offset, that the target has otherwise."""

    file: int
    offset: int
    blocks: list[int]


class Piece(Said, frozen=True, kw_only=True):
    """Body: content at offset."""

    file: int
    offset: int


class Hole(Said, frozen=True, kw_only=True):
    file: int
    offset: int
    end: int


class Close(Said, frozen=True, kw_only=True):
    """The file is complete and takes its name."""

    file: int
    entry: Entry


class Twins(Said, frozen=True, kw_only=True):
    """(name, the same file's first name): further names of files with several."""

    pairs: list[tuple[bytes, bytes]]


class Prune(Said, frozen=True, kw_only=True):
    """All folders were listed: the target says what it has too much."""


class Doomed(Said, frozen=True, kw_only=True):
    """Names that the source did not list. It answers with those which it really lacks (Gone)."""

    paths: list[bytes]
    more: bool


class Gone(Said, frozen=True, kw_only=True):
    """more: the next Gone belongs to it; the guard weighs them as one."""

    paths: list[bytes]
    more: bool = False


class Folders(Said, frozen=True, kw_only=True):
    """Owner, mode and time of folders, once what is in them is done."""

    entries: list[Entry]


class Mark(Said, frozen=True, kw_only=True):
    """Asks for Reached once everything before is done; durable: and on stable storage."""

    number: int
    durable: bool = False


class Reached(Said, frozen=True, kw_only=True):
    """held: deletions that the guard holds back. The rest is what a survey found, or what was done."""

    number: int
    held: int = 0
    created: int = 0
    replaced: int = 0
    replaced_bytes: int = 0
    newer: list[bytes] = []
    """First names whose content at the target is newer than the source's."""
    newer_count: int = 0
    newest_ns: int = 0
    deleted: int = 0
    deleted_bytes: int = 0


Message = (
    Hello | Refused | Bring | Bare | Begin | Outline | Pictured | Guarded | Data | Ack
    | Task | Offer | Wanted | Pack | Open | Hashes | Need | Piece | Hole | Close
    | Twins | Prune | Doomed | Gone | Folders | Mark | Reached
)  # fmt: skip
