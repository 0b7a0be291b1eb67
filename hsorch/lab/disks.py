"""The private disks of a lab's machines: made at `up`, kept over crash and reboot, gone with the lab."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
from pathlib import Path, PurePosixPath

from hsorch.lab import kernel
from hsorch.lab.machine import ON_BOOT
from hsorch.lab.python import own_python
from hsorch.lab.topology import Topology

DISK_MIB = 1024
_FILLER = "filler"
_WITNESS_TOKEN = PurePosixPath("/var/lib/hsorch/witness.token")


class Disks:
    """Folders of one lab, in the chassis' mount namespace."""

    def __init__(self, folder: Path, topology: Topology) -> None:
        self.scratch = folder / "scratch"
        self.shared = folder / "shared"
        self._folder = folder
        self._topology = topology

    def of(self, machine: str) -> Path:
        return self._folder / "disks" / machine

    def make(self) -> None:
        """Mount them, and put on them what a machine has before its first boot: the witness and its token."""
        self.scratch.mkdir()
        self.shared.mkdir()
        for machine in self._topology.machines:
            disk = self.of(machine.name)
            disk.mkdir(parents=True)
            flags = kernel.MS_NOSUID | kernel.MS_NODEV
            kernel.mount("tmpfs", disk, "tmpfs", flags, f"mode=755,size={DISK_MIB}m")
        if self._topology.witness is not None:
            token = secrets.token_hex(32)
            for node in self._topology.nodes:
                self._write(node.name, PurePosixPath(self._topology.witness.token_file), token, 0o600)
            self._write("witness", _WITNESS_TOKEN, token, 0o600)
            self._write("witness", PurePosixPath(ON_BOOT), _serve(self._topology.witness.listen), 0o755)

    def fill(self, machine: str) -> None:
        """Not one byte is left: also what is freed by the filler's own rounding is taken."""
        path = self.of(machine) / _FILLER
        room = os.statvfs(self.of(machine))
        with path.open("ab", buffering=0) as file:
            if room.f_bavail:
                os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize)
            with contextlib.suppress(OSError):
                while file.write(b"\0" * 4096):
                    pass

    def empty(self, machine: str) -> None:
        (self.of(machine) / _FILLER).unlink(missing_ok=True)

    def _write(self, machine: str, path: PurePosixPath, text: str, mode: int) -> None:
        target = self.of(machine) / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write(text)
        target.chmod(mode)


def _serve(listen: str) -> str:
    """The witness machine's on-boot."""
    command = [
        *own_python("-m", "hsorch.cli.main", "witness", "serve"),
        *("--data", "/var/lib/hsorch/witness", "--listen", listen, "--token-file", str(_WITNESS_TOKEN)),
    ]
    return f"#!/bin/sh\nmkdir -p /var/lib/hsorch/witness\nexec {shlex.join(command)}\n"
