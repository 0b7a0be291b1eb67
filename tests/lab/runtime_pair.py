"""Two real runtimes in namespaces of their own, without apply: the smallest world for agent and guard.

A machine is a process that holds network, mount and pid namespaces with private /run and /var/lib; killing
it is a power cut. Client and switch live in one more. The full lab (hsorch lab) does more and needs more.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import msgspec

from hsorch.node import control, events
from hsorch.node.paths import Paths
from hsorch.spec import (
    AnyResource,
    Group,
    HttpCheck,
    Identity,
    Ip,
    Link,
    Nic,
    Node,
    Policy,
    Process,
    ShareWitness,
    Spec,
    Witness,
    encode,
)
from hsorch.verbs import EventRecord, EventsQuery, Operate, StatusReport

CLUSTER = "plant"
VIP = "10.99.0.100"
PATIENCE_S = 20.0
ROOT = Path(__file__).resolve().parents[2]

APPLICATION = """\
import http.server, os, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["HSORCH_NODE"].encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
class S(http.server.ThreadingHTTPServer):
    allow_reuse_address = True
S(("0.0.0.0", 8080), H).serve_forever()
"""


def default_policy() -> Policy:
    return Policy(lease_ms=1500, fence_ms=400, suspect_ms=1000, start_wait_ms=3000, on_conflict="a")


def make_spec(
    share: Path,
    *,
    policy: Policy | None = None,
    interval_ms: int = 200,
    max_missed: int = 5,
    witness: Witness | None = None,
    resources: tuple[AnyResource, ...] | None = None,
) -> Spec:
    def node(name: str, last: int) -> Node:
        return Node(
            name=name,
            nics={
                "service": Nic(name="svc", address=f"10.99.0.{last}/24"),
                "heartbeat": Nic(name="hb", address=f"10.98.0.{last}/24"),
            },
        )

    def link(name: str, nic: str) -> Link:
        return Link(name=name, nic=nic, port=3000, interval_ms=interval_ms, max_missed=max_missed)

    ip = Ip(name="IP-g", address=f"{VIP}/24", nic="service")
    application = Process(
        name="app",
        depends_on=("IP-g",),
        argv=(sys.executable, "-S", "-c", APPLICATION),
        probe=HttpCheck(url=f"http://{VIP}:8080/"),
    )
    return Spec(
        cluster=CLUSTER,
        revision=1,
        nodes=(node("a", 11), node("b", 12)),
        preferred="a",
        links=(link("direct", "heartbeat"), link("lan", "service")),
        witness=witness or ShareWitness(path=str(share)),
        group=Group(name="g", desired_state="in", resources=resources or (ip, application)),
        policy=policy or default_policy(),
    )


@dataclass
class Machine:
    """One node, or the switch with the client."""

    name: str
    holder: subprocess.Popen[bytes]
    guard: subprocess.Popen[bytes] | None = None
    log: Path = field(default_factory=Path)

    @property
    def pid(self) -> int:
        """Of init in the machine's own pid namespace, as the host sees it."""
        children = Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children").read_text().split()
        return int(children[0])

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self.pid}/root")

    @property
    def paths(self) -> Paths:
        return Paths(CLUSTER, self.root)

    def command(self, *argv: str) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-m", "-n", "-p", "-u", *argv]

    def run(self, *argv: str, check: bool = True) -> str:
        done = subprocess.run(self.command(*argv), capture_output=True, text=True, timeout=20)
        if check and done.returncode:
            raise AssertionError(f"{self.name}: {argv}: {done.stderr}{done.stdout}")
        return done.stdout

    def start_guard(self) -> None:
        with self.log.open("ab") as log:
            self.guard = subprocess.Popen(
                self.command(sys.executable, "-m", "hsorch.node", "guard", CLUSTER), stderr=log, cwd=ROOT
            )

    def power_off(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        if self.guard is not None:
            # nsenter stops itself with a stopped child; unreaped, that child would keep its namespace.
            self.guard.send_signal(signal.SIGCONT)
            self.guard.wait(10)
        self.holder.wait(10)

    # ------------------------------------------------------------ the runtime in it

    def process(self, which: str) -> int:
        """pid of `guard` or `agent` as the host sees it."""
        inner = int((self.paths.run / f"{which}.pid").read_text())
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                text = status.read_text()
            except OSError:
                continue
            spaces = text.partition("NSpid:")[2].partition("\n")[0].split()
            if len(spaces) == 2 and int(spaces[1]) == inner and _same_space(int(spaces[0]), self.pid):
                return int(spaces[0])
        raise AssertionError(f"{self.name} has no {which}")

    def status(self) -> StatusReport:
        return control.ask(self.paths, "status", b"null", StatusReport)

    def order(self, verb: str, target: str = "", timeout_s: float = PATIENCE_S) -> dict[str, str]:
        order = Operate(cluster=CLUSTER, verb=verb, actor="test", id=secrets.token_hex(4), target=target)
        return control.ask(self.paths, "operate", msgspec.json.encode(order), dict[str, str], timeout_s)

    def events(self, **query: object) -> list[EventRecord]:
        return events.read(self.paths.events, EventsQuery(cluster=CLUSTER, **query))  # type: ignore[arg-type]

    def has_vip(self) -> bool:
        return f" {VIP}/" in self.run("ip", "-4", "addr", "show")

    def tells(self) -> str:
        """What happened here, for the message of a failing test."""
        lines = [f"{r.time} {self.name} {r.severity} {r.kind}: {r.message}" for r in self.events(limit=60)]
        return "\n".join([*lines, self.log.read_text(errors="replace")])


@dataclass
class Pair:
    a: Machine
    b: Machine
    switch: Machine
    spec: Spec

    def machine(self, name: str) -> Machine:
        return {"a": self.a, "b": self.b}[name]

    def peer(self, name: str) -> Machine:
        return self.b if name == "a" else self.a

    def until(self, what: str, condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> float:
        """Wait; returns the seconds it took. Fails telling both nodes' stories."""
        began = time.monotonic()
        while time.monotonic() - began < patience_s:
            try:
                if condition():
                    return time.monotonic() - began
            except Exception as error:
                last: Exception | None = error
            else:
                last = None
            time.sleep(0.02)
        stories = "\n\n".join(m.tells() for m in (self.a, self.b) if m.holder.poll() is None)
        raise AssertionError(f"not within {patience_s} s: {what} ({last})\n{stories}")

    def active(self) -> str:
        """By the addresses in the kernel; fails when both carry the virtual one."""
        found = [m.name for m in (self.a, self.b) if m.holder.poll() is None and m.has_vip()]
        assert len(found) < 2, "both nodes carry the virtual address"
        return found[0] if found else ""

    def answers(self) -> str:
        """Which node answers the client; empty: none."""
        ask = f"import urllib.request as u; print(u.urlopen('http://{VIP}:8080/', timeout=1).read().decode())"
        return self.switch.run(sys.executable, "-S", "-c", ask, check=False).strip()

    def healthy(self) -> bool:
        one, two = self.a.status(), self.b.status()
        return one.protected and two.protected and one.up and bool(one.active)

    @contextmanager
    def client(self, interval_s: float = 0.01) -> Iterator[Client]:
        client = Client(self.switch, interval_s)
        try:
            yield client
        finally:
            client.stop()


class Client:
    """Asks the virtual address all the time and writes down who answered when."""

    PROGRAM = """
import json, socket, sys, time
interval = float(sys.argv[1])
while True:
    began = time.monotonic()
    try:
        with socket.create_connection((sys.argv[2], 8080), timeout=0.1) as s:
            s.settimeout(0.1)
            s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            data = b"".join(iter(lambda: s.recv(4096), b""))
        node = data.rpartition(b"\\r\\n\\r\\n")[2].decode()
    except OSError:
        node = ""
    print(json.dumps([time.monotonic(), node]), flush=True)
    time.sleep(max(0, interval - (time.monotonic() - began)))
"""

    def __init__(self, switch: Machine, interval_s: float) -> None:
        self.samples: list[tuple[float, str]] = []
        # Not in the pid namespace: nsenter would fork, and killing it would leave the client running.
        enter = ["nsenter", "-t", str(switch.pid), "-n"]
        self._process = subprocess.Popen(
            [*enter, sys.executable, "-S", "-u", "-c", self.PROGRAM, str(interval_s), VIP],
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._first = self._process.stdout.readline()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        output = self._first + self._process.communicate()[0]
        self.samples = [tuple(json.loads(line)) for line in output.splitlines() if line.endswith(b"]")]

    def longest_gap_s(self) -> float:
        """Between two answers."""
        answered = [at for at, node in self.samples if node]
        return max((after - before for before, after in pairwise(answered)), default=0.0)

    def who(self) -> list[str]:
        """Nodes in the order in which they answered, repetitions left out."""
        nodes = [node for _, node in self.samples if node]
        return [node for i, node in enumerate(nodes) if i == 0 or nodes[i - 1] != node]


@contextmanager
def running_pair(
    directory: Path, make: Callable[[Path], Spec] = make_spec, start: bool = True
) -> Iterator[Pair]:
    """Both nodes enrolled and their guards started."""
    share = directory / "share"
    share.mkdir()
    spec = make(share)
    machines = [bare_machine(name) for name in ("a", "b", "switch")]
    a, b, switch = machines
    pair = Pair(a, b, switch, spec)
    try:
        _wire(pair)
        cluster_id, key = secrets.token_hex(16), secrets.token_hex(32)
        for machine in (a, b):
            machine.log = directory / f"{machine.name}.log"
            machine.log.touch()
            _enrol(machine, spec, cluster_id, key)
            if start:
                machine.start_guard()
        yield pair
    finally:
        for machine in machines:
            if machine.holder.poll() is None:
                machine.power_off()


def bare_machine(name: str) -> Machine:
    script = textwrap.dedent(f"""
        mkdir -p /var/lib/hsorch /run/hsorch
        mount -t tmpfs -o mode=755 tmpfs /var/lib/hsorch && mount -t tmpfs -o mode=755 tmpfs /run/hsorch
        hostname {name}; ip link set lo up; echo ready; exec sleep infinity
    """)
    holder = subprocess.Popen(
        ["unshare", "-m", "-n", "-p", "-u", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"ready\n"
    return Machine(name, holder)


def _wire(pair: Pair) -> None:
    # An address of its own: else it is a port's, and changes when that machine loses its power.
    pair.switch.run("ip", "link", "add", "lan0", "address", "02:00:00:00:00:01", "type", "bridge")
    pair.switch.run("ip", "link", "set", "lan0", "up")
    pair.switch.run("ip", "addr", "add", "10.99.0.1/24", "dev", "lan0")
    cable(pair.a, "hb", pair.b, "hb")
    for machine, last in ((pair.a, 11), (pair.b, 12)):
        cable(machine, "svc", pair.switch, f"to-{machine.name}")
        pair.switch.run("ip", "link", "set", f"to-{machine.name}", "master", "lan0", "up")
        for nic, net in (("svc", "10.99.0"), ("hb", "10.98.0")):
            machine.run("ip", "addr", "add", f"{net}.{last}/24", "dev", nic)
            machine.run("ip", "link", "set", nic, "up")


def cable(one: Machine, one_end: str, other: Machine, other_end: str) -> None:
    one.run("ip", "link", "add", one_end, "type", "veth", "peer", "name", "far")
    # Moved by the host, which sees both machines' processes.
    subprocess.run(
        ["nsenter", "-t", str(one.pid), "-n", "ip", "link", "set", "far", "netns", str(other.pid)], check=True
    )
    other.run("ip", "link", "set", "far", "name", other_end)


def _enrol(machine: Machine, spec: Spec, cluster_id: str, key: str) -> None:
    paths = machine.paths
    paths.var.mkdir(parents=True, mode=0o700)
    paths.identity.write_bytes(encode(Identity(cluster=CLUSTER, cluster_id=cluster_id, node=machine.name)))
    paths.spec.write_bytes(encode(spec))
    paths.key.write_text(key)
    paths.key.chmod(0o600)


def _same_space(pid: int, other: int) -> bool:
    try:
        return Path(f"/proc/{pid}/ns/pid").readlink() == Path(f"/proc/{other}/ns/pid").readlink()
    except OSError:
        return False
