"""The isolation heuristic in the place of a witness (profile N3): reference addresses instead of a vote.

Unsound by nature: two nodes that both reach the references and not each other both get a yes, which is why
the manifest must accept the risk. To make that rare, a node that does not carry the virtual address also
needs silence: neither the address nor the peer answers. What was granted is kept on this node only.
"""

from __future__ import annotations

from pathlib import Path

from hsorch.errors import HsorchError
from hsorch.node.core.types import NodeName
from hsorch.node.system.base import System
from hsorch.node.witness.base import Answer, failed
from hsorch.node.witness.directory import Directory
from hsorch.spec import Ip, Spec

IDENTITY = "isolation"
_SHARE_OF_LIMIT = 0.4
"""Two looks, one after the other, must fit the limit."""


class IsolationRegister:
    def __init__(self, spec: Spec, me: str, memory: Path, cluster_id: str, system: System) -> None:
        self._spec = spec
        self._me = me
        self._memory = Directory(memory, cluster_id)
        self._system = system

    def create(self, major: int, node: NodeName, limit_s: float) -> Answer:
        try:
            objection = self._objection(limit_s * _SHARE_OF_LIMIT)
        except (OSError, HsorchError) as error:
            return failed(f"cannot look around: {error}")
        return failed(objection) if objection else _named(self._memory.create(major, node))

    def read(self, major: int, limit_s: float) -> Answer:
        try:
            isolated = not self._references_answer(limit_s * _SHARE_OF_LIMIT)
        except OSError as error:
            return failed(f"cannot look around: {error}")
        return failed("no reference address answers") if isolated else _named(self._memory.read(major))

    def _objection(self, seconds: float) -> str:
        """Why this node must not act alone; empty: nothing speaks against it."""
        if not self._references_answer(seconds):
            return "no reference address answers: this node is cut off"
        if self._carries_address():
            return ""
        for nic, address in self._peer_addresses():
            if self._system.ping([address], nic, seconds / 4):
                return f"{address} of the peer answers: it is alive"
        for resource in self._addresses():
            nic = self._spec.node(self._me).nics[resource.nic].name
            address = resource.address.partition("/")[0]
            if mac := self._system.neighbours.probe(nic, address, seconds / 4):
                return f"the virtual address {address} is in use by {mac}"
        return ""

    def _references_answer(self, seconds: float) -> bool:
        nic = service_nic(self._spec, self._me)
        return bool(self._system.ping(self._spec.policy.isolation.addresses, nic, seconds))

    def _carries_address(self) -> bool:
        network, nics = self._system.network, self._spec.node(self._me).nics
        for resource in self._addresses():
            nic = nics[resource.nic].name
            if resource.virtual_mac:
                nic = network.virtual_name(nic, resource.virtual_mac)
            if network.has_address(nic, resource.address):
                return True
        return False

    def _addresses(self) -> list[Ip]:
        return [r for r in self._spec.group.resources if isinstance(r, Ip)]

    def _peer_addresses(self) -> list[tuple[str, str]]:
        """(my NIC, peer's address) for each network that we share."""
        mine, theirs = self._spec.node(self._me).nics, self._spec.peer_of(self._me).nics
        return [
            (mine[role].name, nic.address.partition("/")[0]) for role, nic in theirs.items() if role in mine
        ]


def service_nic(spec: Spec, me: str) -> str:
    """The NIC that clients come in by: where the virtual address is, else the first of the node."""
    nics = spec.node(me).nics
    roles = [r.nic for r in spec.group.resources if isinstance(r, Ip)]
    return nics[roles[0]].name if roles else next(iter(nics.values())).name


def _named(answer: Answer) -> Answer:
    """One identity for both nodes: there is no register that could have been replaced."""
    return Answer(answer.outcome, answer.owner, IDENTITY if answer.witness_id else "", answer.detail)
