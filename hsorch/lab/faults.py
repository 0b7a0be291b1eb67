"""The faults a lab knows, as data: words of the command line → Fault. Pure; injecting is inject.py's.

A standing fault lasts until it is healed; a momentary one (a kill, a reboot) is over when it is done.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hsorch.errors import LabError
from hsorch.lab.topology import Topology


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of fault. takes: its arguments in order; one in brackets may be left out."""

    help: str
    takes: tuple[str, ...] = ()
    standing: bool = True


KINDS: dict[str, Kind] = {
    "crash": Kind(help="Power off: silence at once, nothing is told to anybody.", takes=("NODE",)),
    "reboot": Kind(help="Power off and on again at once.", takes=("NODE",), standing=False),
    "shutdown": Kind(help="Clean shutdown: every program is asked to end, then power off.", takes=("NODE",)),
    "freeze": Kind(help="Every program of the node is stopped (SIGSTOP).", takes=("NODE",)),
    "agent-kill": Kind(help="SIGKILL to the agent.", takes=("NODE",), standing=False),
    "agent-freeze": Kind(help="SIGSTOP to the agent.", takes=("NODE",)),
    "guard-kill": Kind(help="SIGKILL to the guard.", takes=("NODE",), standing=False),
    "guard-freeze": Kind(help="SIGSTOP to the guard.", takes=("NODE",)),
    "service-kill": Kind(
        help="SIGKILL to what runs of a resource (all of the node when none is named).",
        takes=("NODE", "[RESOURCE]"),
        standing=False,
    ),
    "service-hang": Kind(help="SIGSTOP to what runs of a resource.", takes=("NODE", "[RESOURCE]")),
    "link-down": Kind(help="No carrier on a link: at one node, or at both.", takes=("[NODE]", "LINK")),
    "link-loss": Kind(
        help="Random loss: all frames of one node on the link, or those between the nodes.",
        takes=("[NODE]", "LINK", "PERCENT"),
    ),
    "one-way": Kind(help="What NODE sends to its peer is lost, not the other way.", takes=("NODE",)),
    "partition": Kind(help="The nodes do not hear each other; client and witness hear both."),
    "isolate": Kind(help="The node hears nobody and nobody hears it.", takes=("NODE",)),
    "witness-down": Kind(help="The witness is off."),
    "witness-cut": Kind(help="NODE does not reach the witness.", takes=("NODE",)),
    "disk-full": Kind(help="The node's private disk has no byte left.", takes=("NODE",)),
    "clock-step": Kind(help="The node's wall clock jumps by SECONDS (3600).", takes=("NODE", "[SECONDS]")),
}


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    node: str = ""
    link: str = ""
    amount: int = 0
    """Percent of link-loss, seconds of clock-step."""
    resource: str = ""

    def __str__(self) -> str:
        amount = str(self.amount) if self.amount else ""
        return " ".join(filter(None, (self.kind, self.node, self.link, self.resource, amount)))


def parse(kind: str, arguments: Sequence[str], topology: Topology) -> Fault:
    """Raises LabError HS804 for an unknown kind, a wrong count or a name the lab does not have."""
    if kind not in KINDS:
        raise _wrong(f"there is no fault '{kind}'", f"one of: {', '.join(KINDS)}")
    takes = KINDS[kind].takes
    required = [name for name in takes if not name.startswith("[")]
    if not len(required) <= len(arguments) <= len(takes):
        raise _wrong(
            f"{kind} takes {' '.join(takes) or 'no argument'}; given: {' '.join(arguments) or 'nothing'}",
            usage(kind),
        )
    # The one optional argument of a kind is left out exactly when the count says so.
    names = takes if len(arguments) == len(takes) else required
    words = {name.strip("[]"): word for name, word in zip(names, arguments, strict=True)}
    if kind in ("witness-cut", "witness-down") and not _has_witness(topology):
        raise _wrong(f"{kind}: this lab has no witness", "give the manifest a witness")
    return Fault(
        kind=kind,
        node=_node(words["NODE"], topology) if "NODE" in words else "",
        link=_link(words["LINK"], topology) if "LINK" in words else "",
        amount=_amount(words, kind),
        resource=words.get("RESOURCE", ""),
    )


def usage(kind: str) -> str:
    return " ".join(("hsorch lab fault", kind, *KINDS[kind].takes))


def _node(word: str, topology: Topology) -> str:
    for node in topology.nodes:
        if word in (node.name, node.alias):
            return node.name
    raise _wrong(f"'{word}' is no node of the lab", f"one of: {', '.join(n.name for n in topology.nodes)}")


def _link(word: str, topology: Topology) -> str:
    if word in topology.links:
        return word
    raise _wrong(f"'{word}' is no link of the manifest", f"one of: {', '.join(topology.links)}")


def _amount(words: dict[str, str], kind: str) -> int:
    if kind == "clock-step":
        return _number(words.get("SECONDS", "3600"), -(10**9), 10**9)
    return _number(words["PERCENT"].rstrip("%"), 1, 100) if "PERCENT" in words else 0


def _number(word: str, low: int, high: int) -> int:
    try:
        number = int(word)
    except ValueError:
        number = high + 1
    if not low <= number <= high:
        raise _wrong(f"'{word}' is no whole number from {low} to {high}", "write the number without a unit")
    return number


def _has_witness(topology: Topology) -> bool:
    return topology.witness is not None or bool(topology.share)


def _wrong(message: str, hint: str) -> LabError:
    return LabError(message, hint=hint, code="HS804")
