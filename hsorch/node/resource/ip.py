"""The virtual IP address: taken only when nobody answers for it, announced, never persistent.

Before taking it, three probes in PROBE_WINDOW_S ask whether somebody holds it (RFC 5227 takes seconds for
this; an answer on a LAN takes well below a millisecond, and a takeover in 0.6 s has no seconds to spend).
Whoever is slower than that is still found while the announcements go on, and fails the next check.
"""

from __future__ import annotations

import threading
import time

from hsorch.errors import NodeError
from hsorch.node.resource.call import Call, Note
from hsorch.node.resource.records import Record
from hsorch.spec import Ip

PROBE_WINDOW_S = 0.03
ANNOUNCE_FOR_S = 10.0
"""REQ-D25: the announcements are spread over this time, denser at its beginning."""
_LATE_PROBE_WINDOW_S = 0.2


class IpKind:
    """Implements hsorch.node.resource.call.Kind for Ip."""

    def __init__(self) -> None:
        self._announcers: dict[str, _Announcer] = {}

    def start(self, call: Call, resource: Ip) -> Note:
        network, nic = call.system.network, call.nic(resource.nic)
        began = time.monotonic()
        if network.has_address(_carrier(call, resource), resource.address):
            self._announce(call, resource)
            return Note(f"{resource.address} was on {nic} already")
        if not network.carrier(nic):
            raise _no_carrier(nic)
        holder = call.system.neighbours.probe(nic, _plain(resource), PROBE_WINDOW_S)
        if holder:
            raise _conflict(call, resource, holder)
        try:
            with call.effect():
                _take(call, resource, nic)
            self._announce(call, resource)
        except NodeError:
            with call.effect():
                self.stop(call, resource)
            raise
        return Note(f"{resource.address} on {nic} after {(time.monotonic() - began) * 1000:.0f} ms")

    def stop(self, call: Call, resource: Ip) -> Note:
        announcer = self._announcers.pop(call.name, None)
        if announcer is not None:
            announcer.stop()
        network, nic = call.system.network, call.nic(resource.nic)
        network.remove_address(_carrier(call, resource), resource.address)
        if resource.virtual_mac:
            network.remove_virtual(nic, resource.virtual_mac)
        call.records.drop(call.name)
        return Note(f"{resource.address} is off {nic}")

    kill = stop

    def check(self, call: Call, resource: Ip) -> Note:
        network, nic = call.system.network, call.nic(resource.nic)
        if not network.has_address(_carrier(call, resource), resource.address):
            raise NodeError(
                f"{resource.address} is not on {nic}",
                hint="something else took it off: look for a network manager that rules this NIC",
                code="HS651",
            )
        if not network.carrier(nic):
            raise _no_carrier(nic)
        announcer = self._announcers.get(call.name)
        if announcer is not None and announcer.stranger:
            raise _conflict(call, resource, announcer.stranger)
        return Note(f"{resource.address} on {nic}")

    def _announce(self, call: Call, resource: Ip) -> None:
        old = self._announcers.pop(call.name, None)
        if old is not None:
            old.stop()
        announcer = _Announcer(call, resource)
        self._announcers[call.name] = announcer
        announcer.begin()


def _take(call: Call, resource: Ip, nic: str) -> None:
    call.records.put(
        Record(
            name=call.name,
            kind="ip",
            nic=nic,
            address=resource.address,
            virtual_mac=resource.virtual_mac,
        )
    )
    if resource.virtual_mac:
        call.system.network.add_virtual(nic, resource.virtual_mac)
    call.system.network.add_address(_carrier(call, resource), resource.address)


class _Announcer:
    """Says "it is mine" now, and again in the background until all are said or the address goes."""

    def __init__(self, call: Call, resource: Ip) -> None:
        self._call = call
        self._resource = resource
        self._nic = _carrier(call, resource)
        self._stopped = threading.Event()
        self._saying = threading.Lock()
        self.stranger = ""
        """MAC of a stranger who answered too late for the probe before the start."""

    def begin(self) -> None:
        """The first announcement is sent before this returns. Raises NodeError."""
        if self._resource.announcements:
            self._say()
        threading.Thread(target=self._go_on, name=f"announce {self._nic}", daemon=True).start()

    def stop(self) -> None:
        """None is said after this returns: a late one would draw clients back from the peer."""
        self._stopped.set()
        with self._saying:
            pass

    def _go_on(self) -> None:
        began = time.monotonic()
        for at in announcement_times(self._resource.announcements)[1:]:
            if self._stopped.wait(max(0.0, began + at - time.monotonic())):
                return
            try:
                if not self._say():
                    return
                self._look_for_a_stranger()
            except (NodeError, OSError):
                # The NIC is down or gone: the next check reports it, the next announcement tries again.
                continue

    def _look_for_a_stranger(self) -> None:
        neighbours, nic = self._call.system.neighbours, self._call.nic(self._resource.nic)
        holder = neighbours.probe(nic, _plain(self._resource), _LATE_PROBE_WINDOW_S)
        # A peer that answers (thawed, not yet fenced) is the protocol's business, not a failed check's.
        self.stranger = holder if holder and not _is_peer(self._call, self._resource, holder) else ""

    def _say(self) -> bool:
        """False: the address is not ours any more, so nothing was said."""
        with self._saying:
            system, address = self._call.system, self._resource.address
            if self._stopped.is_set() or not system.network.has_address(self._nic, address):
                return False
            # After a freeze, before the fence: a packet socket gets past the kernel's dead-man switch.
            if not self._call.leased():
                return False
            system.neighbours.announce(self._nic, _plain(self._resource))
            return True


def announcement_times(count: int) -> list[float]:
    """Seconds after the address was taken: the first at once, gaps growing, the last at ANNOUNCE_FOR_S."""
    if count < 2:
        return [0.0] * count
    return [ANNOUNCE_FOR_S * (n / (count - 1)) ** 2 for n in range(count)]


def _plain(resource: Ip) -> str:
    return resource.address.partition("/")[0]


def _carrier(call: Call, resource: Ip) -> str:
    """The NIC that holds the address: the real one, or the one made for the virtual MAC."""
    nic = call.nic(resource.nic)
    return call.system.network.virtual_name(nic, resource.virtual_mac) if resource.virtual_mac else nic


def _no_carrier(nic: str) -> NodeError:
    return NodeError(
        f"{nic} has no carrier",
        hint="look at the cable, the switch port and `ip link`",
        code="HS664",
    )


def _is_peer(call: Call, resource: Ip, holder: str) -> bool:
    """The peer is told from a stranger by asking who holds the peer's own address."""
    address = call.spec.peer_of(call.me).nics[resource.nic].address.partition("/")[0]
    peer = call.system.neighbours.probe(call.nic(resource.nic), address, PROBE_WINDOW_S)
    return holder in (peer, resource.virtual_mac.lower())


def _conflict(call: Call, resource: Ip, holder: str) -> NodeError:
    """REQ-D26."""
    peer = call.spec.peer_of(call.me).name
    if _is_peer(call, resource, holder):
        return NodeError(
            f"{_plain(resource)} is still answered by the peer {peer} ({holder})",
            hint=f"it must give the address up first: look at `hsorch status` on {peer}",
            code="HS654",
        )
    return NodeError(
        f"{_plain(resource)} is held by a stranger with MAC {holder}",
        hint="find this device in the switch's address table and free the address, then try again",
        code="HS653",
    )
