"""One boot of one machine: a new set of namespaces, and the process 1 that lives in them.

Not here: what the machine is connected to (wires.py) and when it boots or dies (chassis.py).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import traceback
from pathlib import Path

import msgspec

from hsorch.errors import LabError
from hsorch.lab import kernel
from hsorch.lab.root import Sources, take_root
from hsorch.lab.topology import Machine
from hsorch.lab.wires import addresses_batch

ON_BOOT = Path("/var/lib/hsorch/on-boot")
SHUTDOWN_LIMIT_S = 20.0
_SPACES = (
    kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWPID | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC
)


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    machine: Machine
    sources: Sources
    boot_id: str
    environment: dict[str, str]
    clock_step_s: int = 0


class Cold:
    """A machine whose namespaces exist and whose process 1 waits for its cables.

    pid counts as the chassis counts.
    """

    def __init__(self, boot: Boot) -> None:
        self._boot = boot
        told, tell = os.pipe()
        wait, self._start = os.pipe()
        child = os.fork()
        if child == 0:
            _forget_chassis(wait, tell)
            _spawn(boot, wait, tell)
        os.close(tell)
        os.close(wait)
        self._told = os.fdopen(told, "rb")
        os.waitpid(child, 0)
        self.pid = int(self._line())

    def start(self) -> int:
        """Let it go on. Returns process 1 as the host system counts, once root and addresses are there."""
        os.write(self._start, b"go")
        os.close(self._start)
        outer = int(self._line())
        self._told.close()
        return outer

    def _line(self) -> bytes:
        line = self._told.readline().strip()
        if not line.isdigit():
            raise LabError(
                f"{self._boot.machine.name} did not boot: {line.decode(errors='replace') or 'no answer'}",
                hint="the log of the lab tells more; hsorch lab down ends what is left",
                code="HS805",
            )
        return line


def _spawn(boot: Boot, wait: int, tell: int) -> None:
    """In the chassis' child: make the namespaces, put process 1 into them, step aside. Never returns."""
    try:
        kernel.unshare(_SPACES)
        pid = os.fork()
        if pid:
            os.write(tell, f"{pid}\n".encode())
            os._exit(0)
        outer = str(Path("/proc/self").readlink())
        if os.read(wait, 2) == b"go":
            _become_machine(boot)
            os.write(tell, f"{outer}\n".encode())
            os.close(tell)
            _live(boot.environment)
    except BaseException as error:  # a child of the chassis must never run the chassis' code
        traceback.print_exc()
        with contextlib.suppress(OSError):  # it was up already: nobody waits for an answer
            os.write(tell, f"{error}\n".encode())
    os._exit(1)


def _become_machine(boot: Boot) -> None:
    os.setsid()
    kernel.set_hostname(boot.machine.name)
    take_root(boot.sources, boot.boot_id, boot.clock_step_s)
    batch = addresses_batch(boot.machine)
    subprocess.run(["ip", "-batch", "-"], input=batch.encode(), check=True, env=boot.environment)


def _live(environment: dict[str, str]) -> None:
    """Process 1: run on-boot, bury the dead, end cleanly on SIGTERM."""
    if os.access(ON_BOOT, os.X_OK):
        subprocess.Popen([ON_BOOT], stdin=subprocess.DEVNULL, env=environment, start_new_session=True)
    awaited = {signal.SIGCHLD, signal.SIGTERM}
    # Blocked only now: on-boot must not inherit it. Blocked, so that none is missed between two waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    while True:
        _bury()
        if signal.sigwait(awaited) == signal.SIGTERM:
            _shut_down()


def _shut_down() -> None:
    """As a machine's init does it: ask, wait, power off (what is left dies with process 1)."""
    with contextlib.suppress(ProcessLookupError):  # nobody else is there
        os.kill(-1, signal.SIGCONT)
        os.kill(-1, signal.SIGTERM)
    deadline = time.monotonic() + SHUTDOWN_LIMIT_S
    while time.monotonic() < deadline and _others():
        _bury()
        time.sleep(0.02)
    os._exit(0)


def _others() -> bool:
    """Somebody but process 1 lives, also programs that were started from outside."""
    return any(path.name.isdigit() and path.name != "1" for path in Path("/proc").iterdir())


def _bury() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _forget_chassis(*wanted: int) -> None:
    """Close what the chassis has open: its socket must die with it, not live on in a machine."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for descriptor in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if descriptor > 2 and descriptor not in wanted:
            with contextlib.suppress(OSError):  # the descriptor that listed the folder is gone already
                os.close(descriptor)
