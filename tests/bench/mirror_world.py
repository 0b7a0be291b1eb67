"""Two machines of a kind for mirrors: the source here, the target in a namespace, one veth between them.

What is measured there is replication_mirror.py's business.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from hsorch.node.replication.bindings import Binding
from tests.replicators.nodes import Node

SOURCE, TARGET = "10.213.7.1", "10.213.7.2"
NODE_PORT, RSYNC_PORT, SSH_PORT = 7801, 7802, 7803
SPACE = "hsorch-bench-mirror"
LIMIT_S = 120.0
MIB = 1 << 20
Kind = Literal["watched", "ordered"]


@dataclass
class Took:
    """Seconds: on the clock, and of a processor at each end."""

    clock: float
    source: float
    standby: float


class World:
    """Two machines of a kind: the source here, the target in a namespace of its own, a veth between them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.target = home / "target"
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._number = 0

    def fresh(self) -> Path:
        """A new folder each time: after a deletion ext4 spends seconds on not giving out the same inodes."""
        self._number += 1
        folder = self.home / f"{self._number}"
        folder.mkdir()
        self.target.unlink(missing_ok=True)
        self.target.symlink_to(folder)
        os.sync()
        return folder

    def rsync(self, source: Path, *options: str, over: str = "rsync") -> Took:
        if over == "ssh":
            ssh = (
                f"ssh -i {self.home}/user -p {SSH_PORT} -o StrictHostKeyChecking=no -o LogLevel=ERROR"
                f" -o UserKnownHostsFile={self.home}/known"
            )
            to = ["-e", ssh, f"{source}/", f"{TARGET}:{self.target}/"]
        else:
            to = [f"{source}/", f"rsync://{TARGET}:{RSYNC_PORT}/target/"]
        before, began = self._cpu(over), time.monotonic()
        subprocess.run(["rsync", "-aHX", "--delete", *options, *to], check=True)
        took, after = time.monotonic() - began, self._cpu(over)
        return Took(took, after[0] - before[0], after[1] - before[1])

    def _cpu(self, over: str) -> tuple[float, float]:
        """Seconds so far: of what ran here and ended, and of a daemon with those of its own that ended."""
        here = os.times()
        return here.children_user + here.children_system, cpu_of(self.daemons[over].pid, ended=True)

    def lsyncd(self, source: Path) -> float:
        """Until the target has as many bytes in files; lsyncd itself goes on for ever."""
        goal, began = _bytes_below(source), time.monotonic()
        process = subprocess.Popen(
            ["lsyncd", "-nodaemon", "-delay", "0", "-rsync", f"{source}/",
             f"rsync://{TARGET}:{RSYNC_PORT}/target/"]
        )  # fmt: skip
        try:
            while _bytes_below(self.target) < goal:
                if process.poll() is not None or time.monotonic() - began > LIMIT_S:
                    raise RuntimeError(f"lsyncd did not finish (it ended with {process.returncode})")
                time.sleep(0.1)
            return time.monotonic() - began
        finally:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def pair(self, source: Path, kind: Kind) -> Iterator[tuple[Node, Node]]:
        """Two replicators; what lies in source lies in the bound folder of the first."""
        home = self.fresh()
        a, b = Node(home, "a", SOURCE, ("data",)), Node(home, "b", TARGET, ("data",), space=SPACE)
        subprocess.run(["cp", "-a", f"{source}/.", a.folders["data"]], check=True)
        bindings = (Binding(path=str(home / "common" / "data"), kind=kind),)
        a.enroll(b, NODE_PORT, bindings, level="none")
        b.enroll(a, NODE_PORT, bindings, level="none")
        os.sync()
        try:
            a.start()
            b.start()
            b.ask("role", role="target")
            yield a, b
        finally:
            a.end()
            b.end()

    def plant(self, kind: str) -> Path:
        source = self.home / kind
        source.mkdir()
        if kind == "one file of 1 GiB":
            with (source / "file").open("wb") as file:
                for _ in range(1024):
                    file.write(os.urandom(MIB))
        else:
            rest = os.urandom(19_996)
            for n in range(20_000):
                folder = source / f"{n // 500}"
                folder.mkdir(exist_ok=True)
                (folder / f"{n}").write_bytes(n.to_bytes(4, "big") + rest)
        return source


@contextlib.contextmanager
def world() -> Iterator[World]:
    with TemporaryDirectory(prefix="hsorch-bench-") as folder, contextlib.ExitStack() as stack:
        made = World(Path(folder))
        stack.callback(subprocess.run, ["ip", "netns", "del", SPACE], check=False)
        for line in (
            f"ip netns add {SPACE}",
            f"ip link add hsbm0 type veth peer name hsbm1 netns {SPACE}",
            f"ip address add {SOURCE}/30 dev hsbm0",
            "ip link set hsbm0 up",
            f"ip -n {SPACE} address add {TARGET}/30 dev hsbm1",
            f"ip -n {SPACE} link set hsbm1 up",
        ):
            subprocess.run(line.split(), check=True)
        inside = ["ip", "netns", "exec", SPACE]
        for over, command in (("rsync", _rsync_daemon(made)), ("ssh", _ssh_daemon(made))):
            if shutil.which("rsync") and shutil.which(command[0]):
                made.daemons[over] = subprocess.Popen([*inside, *command])
                stack.callback(made.daemons[over].kill)
        time.sleep(0.5)  # they listen by then
        yield made


def _rsync_daemon(made: World) -> list[str]:
    config = made.home / "rsyncd.conf"
    config.write_text(f"use chroot = no\nuid = 0\ngid = 0\n[target]\npath = {made.target}\nread only = no\n")
    return ["rsync", "--daemon", "--no-detach", f"--port={RSYNC_PORT}", f"--config={config}"]


def _ssh_daemon(made: World) -> list[str]:
    home = made.home
    for name in ("user", "host"):
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name]
        subprocess.run(argv, check=True)
    (home / "sshd.conf").write_text(
        f"Port {SSH_PORT}\nHostKey {home}/host\nAuthorizedKeysFile {home}/user.pub\n"
        "StrictModes no\nUsePAM no\nPidFile none\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)  # where sshd leaves its rights
    return ["/usr/sbin/sshd", "-D", "-e", "-f", str(home / "sshd.conf")]


def _bytes_below(folder: Path) -> int:
    """Of all files; one that vanishes meanwhile counts nothing."""
    found = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found += os.lstat(f"{where}/{name}").st_size
    return found


def cpu_of(pid: int, *, ended: bool = False) -> float:
    """Seconds of a processor so far. ended: also of its children that ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if ended else 13])) / os.sysconf("SC_CLK_TCK")
