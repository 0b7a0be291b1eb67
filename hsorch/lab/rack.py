"""The machines and wires of one lab, from inside its chassis: boot, power off, rewire, run, publish.

Knows nothing of requests and time (chassis.py) nor of the kinds of faults (inject.py).
"""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from hsorch.errors import LabError
from hsorch.lab import wires
from hsorch.lab.disks import Disks
from hsorch.lab.faults import Fault
from hsorch.lab.machine import Boot, Cold
from hsorch.lab.root import CLOCK, CLOCK_LIBRARY, Sources, write_clock
from hsorch.lab.topology import Machine, Topology
from hsorch.transport.lab import LabHost, LabState, enter, start_time

RUN_LIMIT_S = 10.0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What `lab up` asks the chassis for."""

    topology: Topology
    state: str
    """The lab's folder (hsorch.transport.lab.state_dir)."""
    folder: str
    """The manifest's folder."""
    keep: tuple[str, ...]
    environment: dict[str, str]
    clock_library: str = ""
    """Path of the compiled clock.c; empty: the wall clocks cannot be stepped."""


class Powered(msgspec.Struct, kw_only=True):
    """A machine that is on. pid counts as the chassis counts, outer as the host system does."""

    pid: int
    outer: int
    boot_id: str
    power: Literal["on", "frozen"] = "on"


class Rack:
    def __init__(self, order: Order, *, user_namespace: bool) -> None:
        self.order = order
        self.topology = order.topology
        self.disks = Disks(Path(order.state), order.topology)
        self.faults: list[Fault] = []
        """Standing ones, oldest first; set by inject.py."""
        self.clock_steps: dict[str, int] = {}
        self._user_namespace = user_namespace
        self._on: dict[str, Powered] = {}

    def power_up(self) -> None:
        self.disks.make()
        _ip(wires.bridges_batch(self.topology))
        for machine in self.topology.machines:
            self._boot(machine)
        self.rewire()

    def is_on(self, name: str) -> bool:
        return name in self._on

    def boot_id(self, name: str) -> str:
        """Empty: it is off."""
        return self._on[name].boot_id if self.is_on(name) else ""

    def boot(self, name: str) -> None:
        """Nothing when it is on."""
        if not self.is_on(name):
            self._boot(self.topology.machine(name))
            self.rewire()

    def power_off(self, name: str) -> None:
        """As a pulled plug: silence first, so that no dying program says goodbye on the wire."""
        if self.is_on(name):
            machine = self.topology.machine(name)
            _ip(wires.silence_batch(machine))
            os.kill(self._on[name].pid, signal.SIGKILL)
            # Process 1 ends when all that lived in its namespace has ended.
            os.waitpid(self._on[name].pid, 0)
            self._gone(machine)

    def begin_shutdown(self, name: str) -> None:
        """Ask process 1 to end; `bury` notices when it did."""
        if self.is_on(name):
            os.kill(self._on[name].pid, signal.SIGTERM)

    def bury(self) -> None:
        """Take note of machines whose process 1 ended by itself, and of orphans of what the lab ran."""
        ended = set()
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            ended.add(pid)
        for name in [name for name, powered in self._on.items() if powered.pid in ended]:
            self._gone(self.topology.machine(name))
            self.publish()

    def set_frozen(self, name: str, frozen: bool) -> None:
        """All programs of the machine in one system call; process 1 does nothing anyway."""
        # Nobody but process 1 may be there; that is no failure.
        self.run(name, ["sh", "-c", f"kill -s {'STOP' if frozen else 'CONT'} -- -1; true"])
        self._on[name].power = "frozen" if frozen else "on"

    def step_clock(self, name: str, seconds: int) -> None:
        self.clock_steps[name] = self.clock_steps.get(name, 0) + seconds
        if self.is_on(name):
            path = Path(f"/proc/{self._on[name].outer}/root") / CLOCK.relative_to("/")
            write_clock(path, self.clock_steps[name])

    def run(self, name: str, argv: Sequence[str]) -> str:
        """Output of a short program on a machine. Raises LabError HS806: it is off, or the program fails."""
        if not self.is_on(name):
            raise LabError(f"{name} is off", hint=f"hsorch lab boot {name}", code="HS806")
        command = enter(self._on[name].outer, self.environment(), list(argv), user_namespace=False)
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False)
        if done.returncode != 0:
            raise LabError(
                f"on {name}: {done.stderr.strip() or f'exit code {done.returncode}'}",
                hint="look at what runs there: hsorch lab exec " + name + " -- ps -ef",
                code="HS806",
            )
        return done.stdout

    def rewire(self) -> None:
        """Make switches and cables as the standing faults want them."""
        _feed(["nft", "-f", "-"], wires.rules(self.topology, self.faults))
        _ip(wires.carrier_batch(self.topology, self.faults, frozenset(self._on)))

    def publish(self) -> None:
        """Write the state file whole; readers see the old or the new one."""
        own = int(Path("/proc/self").readlink().name)
        state = LabState(
            cluster=self.topology.cluster,
            chassis=own,
            chassis_started=start_time(own),
            user_namespace=self._user_namespace,
            vip=self.topology.vip,
            clocks=bool(self.order.clock_library),
            hosts={machine.name: self._host(machine) for machine in self.topology.machines},
            faults=tuple(map(str, self.faults)),
        )
        path = Path(self.order.state) / "lab.json"
        new = path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(state))
        new.replace(path)

    def environment(self) -> dict[str, str]:
        preload = {"LD_PRELOAD": str(CLOCK_LIBRARY)} if self.order.clock_library else {}
        return {**self.order.environment, **preload}

    def _boot(self, machine: Machine) -> None:
        boot_id = str(uuid.uuid4())
        share = self.topology.share
        boot = Boot(
            machine=machine,
            sources=Sources(
                scratch=str(self.disks.scratch),
                disk=str(self.disks.of(machine.name)),
                folder=self.order.folder,
                keep=self.order.keep,
                shared={share: str(self.disks.shared)} if share and machine.kind == "node" else {},
                clock_library=self.order.clock_library,
            ),
            boot_id=boot_id,
            environment=self.environment(),
            clock_step_s=self.clock_steps.get(machine.name, 0),
        )
        cold = Cold(boot)
        _ip(wires.cables_batch(self.topology, machine, cold.pid))
        self._on[machine.name] = Powered(pid=cold.pid, outer=cold.start(), boot_id=boot_id)

    def _gone(self, machine: Machine) -> None:
        del self._on[machine.name]
        # The kernel takes a cable away when the namespace at its other end goes: whoever comes first.
        batch = wires.unplug_batch(machine)
        subprocess.run(
            ["ip", "-force", "-batch", "-"], input=batch.encode(), capture_output=True, check=False
        )

    def _host(self, machine: Machine) -> LabHost:
        powered = self._on.get(machine.name)
        return LabHost(
            name=machine.name,
            alias=machine.alias,
            kind=machine.kind,
            power=powered.power if powered else "off",
            pid=powered.outer if powered else 0,
            boot_id=powered.boot_id if powered else "",
            addresses=tuple(address for port in machine.ports for address in port.addresses),
            environment=self.environment(),
        )


def _ip(batch: str) -> None:
    if batch:
        _feed(["ip", "-batch", "-"], batch)


def _feed(argv: list[str], text: str) -> None:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(
            f"{argv[0]} refused: {done.stderr.strip()}",
            hint="hsorch lab down, then up; if it stays, the kernel lacks what a lab needs (docs/lab.md)",
            detail=text,
            code="HS807",
        )
