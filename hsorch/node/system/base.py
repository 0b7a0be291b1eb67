"""The port to the operating system: what the node runtime asks of it, as values and protocols.

One implementation per system (hsorch.node.system.linux); nothing else in hsorch.node knows which one it has.
No decisions here and no policy: who may act is the core's business, in which order the resources'.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec


@dataclass(frozen=True)
class Deadline:
    """An instant of the monotonic clock (seconds) that a call must not outlive."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds, never negative."""
        return max(0.0, self.at - time.monotonic())

    def passed(self) -> bool:
        return time.monotonic() >= self.at


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A process as it can be found again after a restart of the agent."""

    pid: int
    started: int
    """Start time as the kernel counts it: tells a process from a later one with the same number."""
    group: str = ""
    """Directory of its control group; empty where none could be made."""


Gate = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Launch:
    """A program to run in a session of its own. mark names its owner and is inherited by all it starts."""

    argv: Sequence[str]
    mark: str
    directory: str = ""
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None
    """Output is appended here; without it, it is kept only until the program has ended."""
    gate: Gate = nullcontext
    """Held while the program is begun; may raise instead."""


@dataclass(frozen=True)
class Finished:
    """A program's end. code is None when the time ran out and all it had started was killed."""

    code: int | None
    output: str = ""


@dataclass(frozen=True)
class Killed:
    """How many were there; left: those still there at the deadline, pid → command name."""

    count: int
    left: Mapping[int, str]

    def names(self) -> str:
        return ", ".join(f"process {pid} ({command})" for pid, command in sorted(self.left.items()))


class ServiceState(msgspec.Struct, frozen=True, kw_only=True):
    """A unit of the service manager. active, sub, result: its own words, e.g. active, running, success."""

    unit: str
    loaded: bool
    active: str = ""
    sub: str = ""
    result: str = ""
    at_boot: bool = False
    """The system starts it by itself at boot, which a protected service must not be (REQ-D31)."""
    group: str = ""

    @property
    def running(self) -> bool:
        return self.active in ("active", "reloading")

    @property
    def gone(self) -> bool:
        return self.active in ("inactive", "failed", "")


class Network(Protocol):
    """Addresses and links. A NIC goes by its name; an address is CIDR text. Raises NodeError HS651, HS652."""

    def add_address(self, nic: str, cidr: str) -> None:
        """Not persistent, usable at once, no route of its own; no error when it is there already."""

    def remove_address(self, nic: str, cidr: str) -> bool:
        """False: it was not there (nor the NIC)."""

    def has_address(self, nic: str, cidr: str) -> bool: ...

    def carrier(self, nic: str) -> bool:
        """False also when the NIC does not exist."""

    def add_virtual(self, nic: str, mac: str) -> str:
        """Make a NIC with this MAC on top of another one; returns its name. Idempotent."""

    def remove_virtual(self, nic: str, mac: str) -> None: ...

    def virtual_name(self, nic: str, mac: str) -> str: ...

    def watch(self) -> CarrierWatch: ...


class Mounts(Protocol):
    """What hsorch has laid over folders of the application."""

    def cut(self, folders: Iterable[str]) -> tuple[list[str], list[str]]:
        """Take our mounts over these folders away at once, whatever uses or serves them: programs that wait
        in one get an error. Returns (cut, what is still there, in words)."""


class CarrierWatch(Protocol):
    """Told by the kernel when a NIC comes, goes, or changes carrier; no polling."""

    def fileno(self) -> int:
        """Readable when read() has something."""

    def read(self) -> list[tuple[str, bool]]:
        """(NIC, carrier) in order; never blocks. Reports may repeat a known state."""

    def close(self) -> None: ...


class Neighbours(Protocol):
    """ARP (RFC 826, RFC 5227) and neighbour discovery (RFC 4861) on the wire. address: without prefix."""

    def probe(self, nic: str, address: str, window_s: float) -> str:
        """MAC of whoever holds the address on this link, empty when none answered within the window."""

    def announce(self, nic: str, address: str) -> None:
        """One gratuitous ARP pair or one unsolicited neighbour advertisement."""


class Services(Protocol):
    """The service manager. Raises NodeError HS658 where there is none or the unit is unknown."""

    def available(self) -> bool: ...

    def state(self, unit: str, deadline: Deadline) -> ServiceState: ...

    def start(self, unit: str, mark: str, deadline: Deadline, gate: Gate) -> Finished:
        """gate: see Launch."""

    def stop(self, unit: str, mark: str, deadline: Deadline) -> Finished: ...

    def kill(self, unit: str, group: str, mark: str, deadline: Deadline) -> None:
        """SIGKILL for every process of the unit, and no restart by the manager."""


class Processes(Protocol):
    """Programs and their trees. Raises NodeError HS655 when one cannot be started."""

    def start(self, launch: Launch) -> Running:
        """Runs on in its own session and outlives this process."""

    def execute(self, launch: Launch, deadline: Deadline) -> Finished:
        """Wait for its end; at the deadline TERM, then KILL to all of its session."""

    def alive(self, running: Running) -> bool: ...

    def terminate(self, mark: str, known: Iterable[Running]) -> None:
        """Ask all of them to end; no wait."""

    def members(self, mark: str, known: Iterable[Running]) -> dict[int, str]:
        """All live processes below a mark or a known process: pid → command name."""

    def kill(self, mark: str, known: Iterable[Running], deadline: Deadline) -> Killed:
        """End them all at once."""


class DeadMan(Protocol):
    """Traffic of the virtual addresses passes only while a lease of the kernel lives.

    The kernel's own timer ends it, so a machine whose user space is frozen loses its traffic on time.
    None of these raises; False: the kernel did not take it (not installed, flushed, no permission).
    """

    def install(self, addresses: Sequence[str]) -> str:
        """Idempotent; blocked until armed, but a living lease over the same addresses lives on.

        Returns why there is no such switch on this machine; empty: it works (assurance `kernel`).
        """

    def arm(self, until_ns: int) -> bool:
        """Pass traffic until this instant of the monotonic clock; replaces the earlier instant."""

    def open(self) -> bool:
        """Pass traffic without end (SOLO)."""

    def block(self) -> bool: ...

    def remove(self) -> bool: ...


class System(Protocol):
    """Everything of one machine."""

    @property
    def network(self) -> Network: ...

    @property
    def neighbours(self) -> Neighbours: ...

    @property
    def services(self) -> Services: ...

    @property
    def processes(self) -> Processes: ...

    @property
    def mounts(self) -> Mounts: ...

    def dead_man(self, cluster: str) -> DeadMan: ...

    def ping(self, addresses: Sequence[str], nic: str, timeout_s: float) -> frozenset[str]:
        """Those that answered an ICMP echo through this NIC."""

    def boot_id(self) -> str:
        """Changes with each boot of the machine."""
