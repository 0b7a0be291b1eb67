"""The replicator process: `python3 -m hsorch.node replicator CLUSTER`. Plays the part it is told to play.

The agent drives it over a local socket, one JSON line in, one Reply out: role, status, drain, thaw, resync.
It keeps no opinion of its own: it starts with no role, and a part it played before is resumed only when told.
It never looks at a path below its own mounts: a page of theirs can only come from this very process.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Literal

import msgspec

from hsorch.errors import HsorchError, NodeError
from hsorch.node.paths import Paths
from hsorch.node.replication.gate import Level
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.meter import Meter
from hsorch.node.replication.record import Damaged
from hsorch.node.replication.setup import Places, Setup, load
from hsorch.node.replication.source import Source
from hsorch.node.replication.target import Target
from hsorch.verbs import Reply

SAMPLE_S = 0.1
LONGEST_LINE = 64 * 1024
Role = Literal["none", "source", "target"]


class RoleInput(msgspec.Struct, frozen=True, kw_only=True):
    """alone: source without the peer (takeover), a new generation. force: unmount even what is in use."""

    role: Role
    alone: bool = False
    force: bool = False


class DrainInput(msgspec.Struct, frozen=True, kw_only=True):
    limit_s: float = 60.0


class Drained(msgspec.Struct, frozen=True, kw_only=True):
    ok: bool


class ReplicationStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent shows. Bytes, milliseconds. queue: written here, not yet held by the standby."""

    role: Role
    state: str
    mode: Level
    connected: bool = False
    consistent: bool = False
    mirroring: bool = False
    copied: int = 0
    queue: int = 0
    behind: bool = False
    """The queue is over its cap: only places are noted, a resync of `dirty` bytes follows."""
    dirty: int = 0
    lag_ms: int = 0
    speed: int = 0
    frozen: int = 0
    """Flushes of the application that wait for the standby."""
    guarded: bool = False
    """A flush that returns now is held by the standby, too."""
    generation: int = 0
    lsn: int = 0
    applied: int = 0
    verify_needed: str = ""
    fault: str = ""


class Replicator:
    """Thread-safe; one change of role at a time."""

    def __init__(self, places: Places, setup: Setup, boot: str) -> None:
        self._places, self._setup, self._boot = places, setup, boot
        self._lock = threading.Lock()
        self._ground: Ground | None = None
        self._part: Source | Target | None = None
        self._meter = Meter()
        self._stopped = threading.Event()
        threading.Thread(target=self._sample, name="meter", daemon=True).start()

    def role(self, wanted: RoleInput) -> ReplicationStatus:
        """Raises NodeError, RefusedError HS686 (takeover on incomplete data)."""
        with self._lock:
            if wanted.role == _role_of(self._part):
                return self.status()
            if isinstance(self._part, Target) and wanted.role == "source":
                self._part.must_be_whole()
            try:
                self._leave(force=wanted.force)
                if wanted.role != "none":
                    self._enter(wanted)
            except (OSError, Damaged, ValueError) as error:
                raise NodeError(
                    f"replication cannot become {wanted.role}: {error}",
                    hint="the detail names the file or folder; `hsorch explain HS687`",
                    code="HS687",
                ) from error
            return self.status()

    def drain(self, wanted: DrainInput) -> Drained:
        part = self._part
        return Drained(ok=not isinstance(part, Source) or part.drain(wanted.limit_s))

    def thaw(self) -> ReplicationStatus:
        """Raises RefusedError HS688."""
        if isinstance(self._part, Source):
            self._part.thaw()
        return self.status()

    def resync(self) -> ReplicationStatus:
        """Where a stream is not enough, mirror everything anew (the operator confirmed the direction)."""
        if isinstance(self._part, Source):
            self._part.shipper.may_mirror = True
        return self.status()

    def status(self) -> ReplicationStatus:
        part, ground = self._part, self._ground
        if ground is None or part is None:
            return ReplicationStatus(role="none", state="stopped", mode=self._setup.level)
        meta, end, now = ground.meta.value, ground.journal.end, time.monotonic()
        if isinstance(part, Source):
            gate = part.gate
            return ReplicationStatus(
                role="source", state=part.shipper.state, mode=self._setup.level,
                connected=part.shipper.connected, consistent=True, mirroring=part.mirroring,
                copied=part.copied, queue=end - gate.applied if gate.applied else end - ground.journal.first,
                behind=part.queue.behind, dirty=part.queue.dirty_bytes,
                lag_ms=self._meter.lag_ms(now, gate.applied), speed=int(self._meter.bytes_per_s),
                frozen=gate.waiting, guarded=gate.guards, generation=meta.generations.current, lsn=end,
                applied=gate.applied, verify_needed=meta.verify_needed,
            )  # fmt: skip
        return ReplicationStatus(
            role="target", state="receiving" if part.connected else "waiting", mode=self._setup.level,
            connected=part.connected, consistent=meta.consistent, queue=end - part.spool.applied,
            generation=meta.generations.current, lsn=end, applied=part.spool.applied,
            verify_needed=meta.verify_needed, fault=part.spool.fault,
        )  # fmt: skip

    def stop(self) -> None:
        with self._lock:
            self._stopped.set()
            with contextlib.suppress(HsorchError, OSError, Damaged):
                self._leave(force=False)

    def _enter(self, wanted: RoleInput) -> None:
        ground = Ground(self._places, self._setup, self._boot)
        try:
            part = Source(ground, alone=wanted.alone) if wanted.role == "source" else Target(ground)
        except BaseException:
            ground.close()
            raise
        self._meter = Meter()
        self._ground, self._part = ground, part

    def _leave(self, *, force: bool) -> None:
        if isinstance(self._part, Source):
            self._part.stop(force=force)
        elif isinstance(self._part, Target):
            self._part.finish()
        self._part = None
        if self._ground is not None:
            self._ground.close()
            self._ground = None

    def _sample(self) -> None:
        while not self._stopped.wait(SAMPLE_S):
            part, ground = self._part, self._ground
            if isinstance(part, Source) and ground is not None:
                self._meter.sample(time.monotonic(), ground.journal.end, part.gate.applied)


def _role_of(part: Source | Target | None) -> Role:
    if part is None:
        return "none"
    return "source" if isinstance(part, Source) else "target"


# --------------------------------------------------------------------------- the local door


class Request(msgspec.Struct, frozen=True, kw_only=True):
    verb: Literal["role", "status", "drain", "thaw", "resync"]
    input: msgspec.Raw = msgspec.Raw(b"{}")


def answer(replicator: Replicator, line: bytes) -> Reply:
    try:
        request = msgspec.json.decode(line, type=Request)
        data: msgspec.Struct
        if request.verb == "role":
            data = replicator.role(msgspec.json.decode(request.input, type=RoleInput))
        elif request.verb == "drain":
            data = replicator.drain(msgspec.json.decode(request.input, type=DrainInput))
        elif request.verb == "thaw":
            data = replicator.thaw()
        elif request.verb == "resync":
            data = replicator.resync()
        else:
            data = replicator.status()
        return Reply(ok=True, data=msgspec.Raw(msgspec.json.encode(data)))
    except msgspec.DecodeError as error:
        return Reply(ok=False, code="HS606", message=f"not a request: {error}", hint="use `hsorch node`")
    except HsorchError as error:
        return Reply(ok=False, code=error.code, message=error.message, hint=error.hint, detail=error.detail)


def serve(door: socket.socket, replicator: Replicator, stopped: threading.Event) -> None:
    """A thread per caller, until `stopped`."""

    def talk(caller: socket.socket) -> None:
        with caller, contextlib.suppress(OSError):
            with caller.makefile("rb") as lines:
                reply = answer(replicator, lines.readline(LONGEST_LINE))
            caller.sendall(msgspec.json.encode(reply) + b"\n")

    door.settimeout(0.2)
    while not stopped.is_set():
        with contextlib.suppress(TimeoutError):
            caller, _ = door.accept()
            caller.settimeout(None)
            threading.Thread(target=talk, args=(caller,), daemon=True).start()


def main(argv: list[str]) -> int:
    if len(argv) not in (1, 2):
        sys.stderr.write("usage: hsorch.node replicator CLUSTER [ROOT]\n")
        return 64
    paths = Paths(argv[0], Path(argv[1])) if len(argv) == 2 else Paths(argv[0])
    places = Places.of(paths)
    try:
        setup = load(places)
    except NodeError as error:
        sys.stderr.write(f"{error.code}: {error.message}\n")
        return 1
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopped.set())
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    replicator = Replicator(places, setup, boot)
    places.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    places.control.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(places.control))
        places.control.chmod(0o600)
        door.listen(8)
        serve(door, replicator, stopped)
    replicator.stop()
    places.control.unlink(missing_ok=True)
    return 0
