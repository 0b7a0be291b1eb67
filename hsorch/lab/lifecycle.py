"""Labs from outside: up, down, which there are, and requests to one. What a lab does lives in its chassis."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from hsorch.errors import LabError
from hsorch.lab.chassis import SOCKET, Request
from hsorch.lab.rack import Order
from hsorch.lab.topology import DURABLE, topology_of
from hsorch.spec import Spec
from hsorch.transport.lab import LabState, enter, labs_dir, read_state, start_time, state_dir
from hsorch.verbs import Reply

UP_LIMIT_S = 30.0
DOWN_LIMIT_S = 10.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TOOLS = {"ip": "iproute2", "nft": "nftables", "nsenter": "util-linux"}
"""Program → Debian package."""
_CLOCK_SOURCE = Path(__file__).with_name("clock.c")


def up(spec: Spec, folder: Path) -> LabState:
    """Make the lab of a pair and boot its machines; nothing when it is up.

    folder: the manifest's; every machine sees it as /lab.

    Raises LabError: HS802 the kernel forbids it, HS803 the pair does not fit into a lab, HS805 and HS807 it
    did not come up, HS809 a program is missing.
    """
    existing = read_state(spec.cluster)
    if existing is not None:
        return existing
    topology = topology_of(spec)
    _require_tools()
    state = _claim(spec.cluster)
    order = Order(
        topology=topology,
        state=str(state),
        folder=str(folder.resolve()),
        keep=tuple(dict.fromkeys((sys.prefix, sys.base_prefix, str(Path(__file__).parents[2])))),
        environment=_environment(),
        clock_library=_compile_clock(state),
    )
    try:
        _start(order)
        _make_bound_folders(spec)
    except BaseException:
        down(spec.cluster)
        raise
    made = read_state(spec.cluster)
    if made is None:
        raise LabError(
            f"the lab of {spec.cluster} came up and went down again",
            hint="its log was on standard error; try again, then report it",
            code="HS805",
        )
    return made


def _make_bound_folders(spec: Spec) -> None:
    """Machines that are made empty have no folders to bind; real ones must have theirs."""
    folders = [binding.path for binding in spec.replication.bindings] if spec.replication else []
    for node in spec.nodes if folders else ():
        argv = command_inside(spec.cluster, node.name, ["mkdir", "-p", *folders])
        made = subprocess.run(argv, check=False, stderr=subprocess.PIPE, text=True)
        if made.returncode != 0:
            raise LabError(
                f"a machine of the lab cannot have what the pair binds: {made.stderr.strip()}",
                hint=f"bind folders below {DURABLE[1]}: it has no other disk for them",
                code="HS803",
            )


def down(cluster: str) -> bool:
    """End the lab and leave nothing of it, nor of one that died. False: none was up."""
    state = read_state(cluster)
    if state is not None:
        # The chassis is process 1 of its namespace: the kernel ends all the rest with it.
        os.kill(state.chassis, signal.SIGKILL)
        deadline = time.monotonic() + DOWN_LIMIT_S
        while start_time(state.chassis) and time.monotonic() < deadline:
            time.sleep(0.005)
    shutil.rmtree(state_dir(cluster), ignore_errors=True)
    with contextlib.suppress(OSError):  # another lab lives there
        labs_dir().rmdir()
    return state is not None


def labs() -> list[LabState]:
    """All labs of this user that are up, by name."""
    try:
        names = sorted(entry.name for entry in labs_dir().iterdir())
    except FileNotFoundError:
        return []
    return [state for state in map(read_state, names) if state is not None]


def one(cluster: str) -> LabState:
    """Raises LabError HS801 when it is not up."""
    state = read_state(cluster)
    if state is None:
        raise LabError(
            f"the lab of {cluster} is not up",
            hint="hsorch apply makes it, or hsorch lab up MANIFEST",
            code="HS801",
        )
    return state


def ask(cluster: str, request: Request, limit_s: float = 60.0) -> str:
    """Carry a request to the chassis. Raises LabError as the chassis does, HS801 when the lab is gone."""
    one(cluster)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(limit_s)
        folder = os.open(state_dir(cluster), os.O_PATH)
        try:
            # Through the descriptor: a socket's name is limited to 108 bytes.
            connection.connect(f"/proc/self/fd/{folder}/{SOCKET}")
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as lines:
                answer = lines.readline()
        except OSError as error:
            raise LabError(
                f"the lab of {cluster} does not answer: {error}",
                hint="hsorch lab down, then up",
                code="HS805",
            ) from error
        finally:
            os.close(folder)
    return msgspec.json.decode(_checked(answer).data, type=str)


def fault(cluster: str, kind: str, arguments: Sequence[str] = (), *, for_s: float = 0.0) -> str:
    """Inject a fault; returns it in words."""
    return ask(cluster, Request(verb="fault", arguments=(kind, *arguments), for_s=for_s))


def heal(cluster: str) -> str:
    """Undo all that stands and boot all that is off; returns what was healed."""
    return ask(cluster, Request(verb="heal"))


def boot(cluster: str, machine: str) -> str:
    return ask(cluster, Request(verb="boot", arguments=(machine,)))


def command_inside(cluster: str, machine: str, argv: Sequence[str]) -> list[str]:
    """argv that runs `argv` on a machine, also on a frozen one. Raises LabError HS806 when it is off."""
    state = one(cluster)
    host = state.host(machine)
    if host is None:
        raise LabError(
            f"'{machine}' is no machine of the lab", hint=f"one of: {', '.join(state.hosts)}", code="HS804"
        )
    if host.power == "off":
        raise LabError(f"{host.name} is off", hint=f"hsorch lab boot {host.name}", code="HS806")
    return enter(host.pid, host.environment, list(argv), user_namespace=state.user_namespace)


def _start(order: Order) -> None:
    log = Path(order.state) / "log"
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "hsorch.lab.chassis"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            env={**os.environ, "PATH": _search_path()},
        )
    try:
        answer, _ = process.communicate(msgspec.json.encode(order), timeout=UP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        answer = b""
    _checked(answer, detail=log.read_text(errors="replace"))


def _checked(answer: bytes, detail: str = "") -> Reply:
    if not answer.endswith(b"\n"):
        raise LabError("the lab ended without an answer", hint="try again", detail=detail, code="HS805")
    reply = msgspec.json.decode(answer, type=Reply)
    if not reply.ok:
        raise LabError(reply.message, hint=reply.hint, detail=reply.detail or detail, code=reply.code)
    return reply


def _claim(cluster: str) -> Path:
    """Make the lab's folder; two that do so at once: one of them is told. What a dead lab left is removed."""
    state = state_dir(cluster)
    try:
        state.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        if time.time() - state.stat().st_mtime < UP_LIMIT_S and not (state / "lab.json").exists():
            raise LabError(
                f"the lab of {cluster} is being made by another command", hint="wait for it", code="HS805"
            ) from None
        shutil.rmtree(state)
        state.mkdir(mode=0o700)
    return state


def _environment() -> dict[str, str]:
    """The Python that runs hsorch comes first: it is the one known to be new enough."""
    python = Path(sys.base_prefix) / "bin"
    return {
        "PATH": f"{python}:{_PATH}",
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _require_tools() -> None:
    missing = {
        tool: package for tool, package in _TOOLS.items() if shutil.which(tool, path=_search_path()) is None
    }
    if missing:
        raise LabError(
            f"a lab needs {', '.join(missing)}, which are not installed",
            hint=f"apt-get install {' '.join(sorted(set(missing.values())))}",
            code="HS809",
        )


def _search_path() -> str:
    """A user's PATH often lacks the sbin folders (Debian), where nft lives."""
    return ":".join(filter(None, (os.environ.get("PATH"), _PATH)))


def _compile_clock(state: Path) -> str:
    """Path of the library that steps clocks; empty without a C compiler (only clock-step needs it)."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return ""
    library = state / "clock.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(_CLOCK_SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, check=False)
    return str(library) if done.returncode == 0 else ""
