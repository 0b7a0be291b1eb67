"""Mirror and verify beside rsync, and how soon a change is seen: over one veth between two namespaces.

rsync speaks plain to its daemon, hsorch TLS 1.3; hsorch's time includes that everything is on stable storage.
Needs root. A peer that is not installed has no row, and the note names its package.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.messages import Task
from hsorch.node.replication.mirror import Mirror
from hsorch.node.replication.receiving import serve
from hsorch.node.replication.tls import Keys, make_key
from hsorch.node.replication.watched.inotify import Watcher
from hsorch.node.replication.watched.live import Batch, Live
from hsorch.node.replication.wire import Listener, connect
from tests.bench.table import Row, Table

SOURCE, TARGET, PORT, RSYNC_PORT = "10.213.7.1", "10.213.7.2", 7801, 7802
SPACE = "hsorch-bench-mirror"
ROUNDS = 3
LIMIT_S = 120.0
MIB = 1 << 20
Mode = Literal["quick", "content"]


class World:
    """A target in a namespace of its own; folders below home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.target = home / "target"
        for name in ("a", "b"):
            make_key(home / f"{name}.crt", home / f"{name}.key", name)
        self.keys = Keys(home / "a.crt", home / "a.key", home / "b.crt")

    def clear(self) -> None:
        shutil.rmtree(self.target, ignore_errors=True)
        self.target.mkdir()
        os.sync()

    def mirror(self, source: Path, mode: Mode = "quick") -> float:
        channel = connect(TARGET, PORT, self.keys)
        began = time.monotonic()
        Mirror(channel, str(source), Task(binding=_binding(source), mode=mode)).run()
        took = time.monotonic() - began
        channel.release()
        return took

    def rsync(self, source: Path, *options: str) -> float:
        began = time.monotonic()
        subprocess.run(
            ["rsync", "-aHX", "--delete", *options, f"{source}/", f"rsync://{TARGET}:{RSYNC_PORT}/target/"],
            check=True,
        )
        return time.monotonic() - began

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


def mirrors() -> Iterator[Table]:
    """Contenders take turns, so that a busy moment of the machine meets both."""
    with world() as made:
        for kind in ("one file of 1 GiB", "20,000 files of 20 kB"):
            source = made.plant(kind)
            figures: dict[str, list[float]] = {}

            def note(name: str, seconds: float, into: dict[str, list[float]] = figures) -> None:
                into.setdefault(name, []).append(seconds)

            for _ in range(ROUNDS):
                if shutil.which("rsync"):
                    made.clear()
                    plain = made.rsync(source)
                    note("rsync mirror", plain)
                    note("rsync mirror, then sync", plain + _sync())
                    note("rsync -c, nothing changed", made.rsync(source, "-c"))
                if shutil.which("lsyncd") and shutil.which("rsync"):
                    made.clear()
                    note("lsyncd, first copy", made.lsyncd(source))
                made.clear()
                note("hsorch mirror", made.mirror(source))
                note("hsorch verify, nothing changed", made.mirror(source, "content"))
            rows = [Row(name, tuple(samples)) for name, samples in figures.items()]
            yield Table(f"Mirror of {kind}", "s", tuple(rows), _absent())
            shutil.rmtree(source)


def visible() -> Iterator[Table]:
    """From the end of a write at the source until the target has it on its place, in a tree of 10,000."""
    with world() as made:
        source = made.home / "live"
        source.mkdir()
        for n in range(10_000):
            folder = source / f"{n // 100}"
            folder.mkdir(exist_ok=True)
            (folder / f"{n}").write_bytes(b"x" * 1000)
        made.clear()
        watcher = Watcher(str(source), _binding(source))
        channel = connect(TARGET, PORT, made.keys)
        mirror = Mirror(channel, str(source), Task(binding=_binding(source)))
        mirror.run()
        live = Live(channel, str(source), _binding(source), mirror.twins)
        samples = [_one_change(live, watcher, source, made.target, n) for n in range(1000)]
        cuts = statistics.quantiles(samples, n=100)
        channel.release()
        yield Table(
            "A change in a watched tree of 10,000 files is seen on the standby", "ms",
            (Row("hsorch", tuple(samples), f"p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms"),),
        )  # fmt: skip


def _one_change(live: Live, watcher: Watcher, source: Path, target: Path, n: int) -> float:
    name = f"{n % 100}/{n % 100 * 100 + n // 100}"
    content = n.to_bytes(4, "big") * 250
    (source / name).write_bytes(content)
    began = time.monotonic()
    batches: list[Batch] = []
    while not batches:
        changes = watcher.wait(1)
        if changes:
            batches.append(live.send(changes))
    took = time.monotonic() - began
    assert (target / name).read_bytes() == content
    return took * 1000


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
        own = subprocess.Popen([*inside, sys.executable, "-m", __spec__.name, str(made.home)])
        stack.callback(own.kill)
        (made.home / "rsyncd.conf").write_text(
            f"use chroot = no\nuid = 0\ngid = 0\n[target]\npath = {made.target}\nread only = no\n"
        )
        if shutil.which("rsync"):
            daemon = subprocess.Popen(
                [*inside, "rsync", "--daemon", "--no-detach", f"--port={RSYNC_PORT}",
                 f"--config={made.home}/rsyncd.conf"]
            )  # fmt: skip
            stack.callback(daemon.kill)
        while not (made.home / "ready").exists():
            time.sleep(0.05)
        yield made


def take(home: Path) -> None:
    """The target's process."""
    listener = Listener(TARGET, PORT, Keys(home / "b.crt", home / "b.key", home / "a.crt"))
    (home / "ready").touch()
    while True:
        channel = listener.accept(600)
        if channel is not None:
            serve(channel, lambda _: str(home / "target"))
            channel.release()


def _sync() -> float:
    """What hsorch's mirror has done when it says that it is done."""
    began = time.monotonic()
    os.sync()
    return time.monotonic() - began


def _absent() -> str:
    missing = [tool for tool in ("rsync", "lsyncd") if not shutil.which(tool)]
    return f"Not installed: apt-get install {' '.join(missing)}." if missing else ""


def _bytes_below(folder: Path) -> int:
    """Of all files; one that vanishes meanwhile counts nothing."""
    found = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found += os.lstat(f"{where}/{name}").st_size
    return found


def _binding(source: Path) -> Binding:
    return Binding(path=str(source), kind="watched")


if __name__ == "__main__":
    take(Path(sys.argv[1]))
