"""Machines whose process 1 is a real systemd: own namespaces, own control groups, own disk.

They stand in for the bare machines of runtime_pair.py. hsorch comes onto them the way a controller brings it:
a runtime is unpacked, all else goes through the node's door.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import secrets
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsorch.node import install
from hsorch.plan import runtime
from hsorch.spec import Identity, Spec, digest, encode
from tests.lab.runtime_pair import CLUSTER, Machine, Pair, bare_machine, cable

UNIT = f"hsorch-{CLUSTER}.service"
SHARE = Path("/mnt")
"""Where both machines see the same folder."""
SYSTEMD = Path("/lib/systemd/systemd")
_UNITS = "etc/systemd/system"
_BOOT_SCRIPT = Path(__file__).with_name("systemd_boot.sh")
_DOOR = "/var/lib/hsorch/runtime/current/hsorch-node"
_PREFIX = "hsorch-test-"
_NETWORKS = {"svc": "10.99.0", "hb": "10.98.0"}
_LAST = {"switch": 1, "a": 11, "b": 12}
_SWITCH_MAC = "02:00:00:00:00:01"
_BOOT_LIMIT_S = 30.0
_LIMIT_S = 100.0
_QUIET = (
    "console-getty.service",
    "dev-hugepages.mount",
    "getty.target",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-logind.service",
    "systemd-modules-load.service",
    "systemd-remount-fs.service",
    "systemd-sysctl.service",
)
"""Units of the distribution that look after hardware, logins, or a kernel that is not theirs here."""


class CannotBootError(Exception):
    """This computer lets no systemd run in namespaces; says why."""


@dataclass
class SystemdMachine(Machine):
    """`holder` is one boot of it; what is below `disk` outlives that."""

    disk: Path = Path()

    # ------------------------------------------------------------- as its administrator

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        return self.run("systemctl", *arguments, check=check)

    def shows(self, name: str, unit: str = UNIT) -> str:
        return self.systemctl("show", f"--property={name}", "--value", unit).strip()

    def write_unit(self, name: str, text: str) -> None:
        (self.root / _UNITS / name).write_text(text)
        self.systemctl("daemon-reload")

    def journal(self, unit: str = UNIT) -> str:
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}", check=False)

    def tells(self) -> str:
        return f"{super().tells()}\n{self.run('journalctl', '--no-pager', '--lines=80', check=False)}"

    # ---------------------------------------------------------------- as a controller

    def door(self, verb: str, **order: Any) -> Any:
        """One verb at the node's door; fails with what the node says."""
        asked = json.dumps({"cluster": CLUSTER, **order}).encode()
        done = subprocess.run(self.command(_DOOR, verb), input=asked, capture_output=True, timeout=_LIMIT_S)
        reply = json.loads(done.stdout) if done.stdout else {"ok": False, "detail": done.stderr}
        assert reply["ok"], f"{self.name}: {verb}: {reply}\n{self.tells()}"
        return reply["data"]

    def install(self, spec: Spec, cluster_id: str, key: str) -> None:
        """All that an apply does before it starts the service."""
        built, lock = runtime.build(), {"lock": secrets.token_hex(4)}
        python = self.command(sys.executable, "-c", inspect.getsource(install))
        for order, content in (
            (("unpack", built.name, built.sha256), built.bundle),
            (("activate", built.name), b""),
        ):
            subprocess.run([*python, *order], input=content, check=True, timeout=_LIMIT_S)
        identity = json.loads(encode(Identity(cluster=CLUSTER, cluster_id=cluster_id, node=self.name)))
        self.door("lock", id=lock["lock"], owner="test", operation="apply")
        self.door("enroll", identity=identity, key=key)
        self.door("stage", **lock, spec=json.loads(encode(spec)))
        self.door("commit", **lock, revision=spec.revision, digest=digest(spec))
        self.door("service", action="install")
        self.door("unlock", id=lock["lock"])

    # ----------------------------------------------------------------- its power switch

    def power_off(self) -> None:
        """A power cut; nothing when it is off already."""
        with contextlib.suppress(ProcessLookupError, FileNotFoundError, IndexError):
            super().power_off()
        self.holder.wait(10)

    def shut_down(self) -> float:
        """In order. Returns the seconds it took."""
        began = time.monotonic()
        self.systemctl("poweroff", "--no-block")
        self.holder.wait(_LIMIT_S)
        return time.monotonic() - began

    def boot(self, switch: Machine) -> None:
        self.holder = _power_on(self.name, self.disk)
        self.come_up(switch)

    def come_up(self, switch: Machine) -> None:
        """Its cables are plugged in while it boots. Raises CannotBootError."""
        self._await("namespaces", lambda: self.run("hostname").strip() == self.name)
        for nic, network in _NETWORKS.items():
            port = f"{nic}-{self.name}"
            cable(self, nic, switch, port)
            switch.run("ip", "link", "set", port, "master", f"{nic}0", "up")
            self.run("ip", "addr", "add", f"{network}.{_LAST[self.name]}/24", "dev", nic)
            self.run("ip", "link", "set", nic, "up")
        self._await("systemd", lambda: self._state() in ("running", "degraded"))

    @contextmanager
    def unplugged(self, switch: Machine) -> Iterator[None]:
        """Without its cables."""
        for nic in _NETWORKS:
            switch.run("ip", "link", "set", f"{nic}-{self.name}", "down")
        try:
            yield
        finally:
            for nic in _NETWORKS:
                switch.run("ip", "link", "set", f"{nic}-{self.name}", "up")

    def _state(self) -> str:
        return self.systemctl("is-system-running", check=False).strip()

    def _await(self, what: str, there: Callable[[], bool]) -> None:
        end = time.monotonic() + _BOOT_LIMIT_S
        while not _holds(there):
            if self.holder.poll() is not None or time.monotonic() > end:
                self.power_off()
                log = (self.disk / "boot.log").read_text()
                raise CannotBootError(f"systemd does not come up in namespaces here (no {what}) {log}")
            time.sleep(0.05)


@dataclass
class SystemdPair(Pair):
    a: SystemdMachine
    b: SystemdMachine

    @property
    def machines(self) -> tuple[SystemdMachine, SystemdMachine]:
        return self.a, self.b

    def machine(self, name: str) -> SystemdMachine:
        return self.a if name == "a" else self.b

    def peer(self, name: str) -> SystemdMachine:
        return self.b if name == "a" else self.a

    def install(self) -> None:
        cluster_id, key = secrets.token_hex(16), secrets.token_hex(32)
        for machine in self.machines:
            machine.install(self.spec, cluster_id, key)


@contextmanager
def systemd_pair(home: Path, spec: Spec) -> Iterator[SystemdPair]:
    """Two machines that know nothing of hsorch, and the switch. Raises CannotBootError."""
    control_groups()
    (home / "share").mkdir()
    one, other = (_new_machine(name, home / name) for name in ("a", "b"))
    pair = SystemdPair(one, other, bare_machine("switch"), spec)
    try:
        for nic, network in _NETWORKS.items():
            # An address of its own: else it is a port's, and changes when that machine loses its power.
            pair.switch.run("ip", "link", "add", f"{nic}0", "address", _SWITCH_MAC, "type", "bridge")
            pair.switch.run("ip", "link", "set", f"{nic}0", "up")
            pair.switch.run("ip", "addr", "add", f"{network}.{_LAST['switch']}/24", "dev", f"{nic}0")
        for machine in pair.machines:
            machine.come_up(pair.switch)
        yield pair
    finally:
        for held in (*pair.machines, pair.switch):
            held.power_off()
        _remove_groups(home)


def control_groups() -> Path:
    """Where control groups of version 2 are mounted. Raises CannotBootError."""
    if not SYSTEMD.exists():
        raise CannotBootError(f"{SYSTEMD} is not installed")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.startswith("cgroup2 "):
            return Path(fields.split()[4])
    raise CannotBootError("control groups of version 2 are not mounted")


def _new_machine(name: str, disk: Path) -> SystemdMachine:
    (disk / _UNITS).mkdir(parents=True)
    (disk / "var/lib").mkdir(parents=True)
    for file in ("passwd", "group", "nsswitch.conf", "ld.so.cache"):
        shutil.copy(Path("/etc") / file, disk / "etc" / file)
    shutil.copytree("/etc/alternatives", disk / "etc/alternatives", symlinks=True)
    (disk / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
    for unit in _QUIET:
        (disk / _UNITS / unit).symlink_to("/dev/null")
    return SystemdMachine(name, _power_on(name, disk), disk=disk, log=disk / "boot.log")


def _power_on(name: str, disk: Path) -> subprocess.Popen[bytes]:
    group = control_groups() / f"{_PREFIX}{disk.parent.name}-{name}"
    group.mkdir(exist_ok=True)
    (disk / "root").mkdir(exist_ok=True)
    unshare = "exec unshare --mount --uts --net --ipc --pid --cgroup --fork --kill-child"
    script = f'echo $$ > "$0/cgroup.procs" && {unshare} sh "$@"'
    keep = (sys.prefix, sys.base_prefix)
    arguments = (_BOOT_SCRIPT, disk / "root", disk, disk.parent / "share", name, str(uuid.uuid4()), *keep)
    with (disk / "boot.log").open("wb") as log:
        return subprocess.Popen(["sh", "-c", script, group, *arguments], stdout=log, stderr=log)


def _remove_groups(home: Path) -> None:
    """What the dead machines' systemd made, deepest first."""
    for group in control_groups().glob(f"{_PREFIX}{home.name}-*"):
        for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
            folder.rmdir()
        group.rmdir()


def _holds(condition: Callable[[], bool]) -> bool:
    with contextlib.suppress(AssertionError, IndexError, FileNotFoundError):
        return condition()
    return False
