"""A machine's file system: the host system read-only, with a disk, a /run and a /dev of its own.

Runs inside the machine's new mount namespace, once per boot. Nothing is created on the host system: mount
points that it lacks are made in a root of bind mounts (as bubblewrap does it).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from hsorch.lab import kernel
from hsorch.lab.topology import DURABLE

CLOCK = Path("/run/lab/clock")
"""Inside a machine: how far its wall clock is stepped (hsorch/lab/clock.c)."""
CLOCK_LIBRARY = Path("/run/lab/clock.so")
FOLDER = Path("/lab")

_TMP = Path("/tmp")
_RUN = Path("/run")
_PROC = Path("/proc")
_SYS = Path("/sys")
_DEV = Path("/dev")
_BOOT_ID = _PROC / "sys/kernel/random/boot_id"
# Not all of /dev: an agent in a lab must not find the watchdog of the machine it is developed on.
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "fuse")
_SAFE = kernel.MS_NOSUID | kernel.MS_NODEV


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Where the parts of a machine's file system lie in the chassis' mount namespace."""

    scratch: str
    """Empty folder to build the root on."""
    disk: str
    """The machine's private disk (a size-limited tmpfs)."""
    folder: str
    """The manifest's folder, seen as /lab."""
    keep: tuple[str, ...]
    """Folders that must stay visible, also where a machine has its own (a venv below /srv)."""
    shared: dict[str, str] = {}
    """Path in the machine → folder that several machines see."""
    clock_library: str = ""


def take_root(sources: Sources, boot_id: str, clock_step_s: int) -> None:
    """Build the root and make it this process's. The caller is process 1 of a new pid namespace."""
    root = Path(sources.scratch)
    own = (_RUN, _PROC, _SYS, _DEV, _TMP, FOLDER, *map(Path, DURABLE), *map(Path, sources.shared))
    kernel.mount("tmpfs", root, "tmpfs", _SAFE, "mode=755,size=8m")
    _mirror(Path("/"), root, own)
    kernel.make_read_only(root, recursive=True)
    _mount_disks(root, sources)
    _mount_kernel(root, Path(sources.disk) / "boot_id", boot_id)
    _mount_devices(root)
    if sources.clock_library:
        _at(root, CLOCK).parent.mkdir()
        shutil.copyfile(sources.clock_library, _at(root, CLOCK_LIBRARY))
        write_clock(_at(root, CLOCK), clock_step_s)
    kernel.change_root(root)


def write_clock(path: Path, step_s: int) -> None:
    """Eight bytes that the preloaded library has mapped: the step takes effect at once."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(step_s.to_bytes(8, "little", signed=True))


def _mirror(source: Path, target: Path, own: tuple[Path, ...]) -> None:
    """Bind every entry of `source`; leave an empty folder for what is `own`, walk into what holds such."""
    names = {path.name for path in source.iterdir()} if source.is_dir() else set()
    names |= {path.relative_to(source).parts[0] for path in own if path.is_relative_to(source)}
    for name in names:
        here, there = source / name, target / name
        if here in own:
            there.mkdir()
        elif any(path.is_relative_to(here) for path in own):
            there.mkdir()
            _mirror(here, there, own)
        elif here.is_symlink():
            there.symlink_to(here.readlink())
        elif here.is_dir():
            there.mkdir()
            kernel.bind(here, there)
        elif here.is_file():
            there.touch()
            kernel.bind(here, there)


def _mount_disks(root: Path, sources: Sources) -> None:
    kernel.mount("tmpfs", _at(root, _RUN), "tmpfs", _SAFE, "mode=755,size=64m")
    kernel.bind(_TMP, _at(root, _TMP))
    for path in map(Path, DURABLE):
        source = Path(sources.disk) / path.relative_to("/")
        source.mkdir(parents=True, exist_ok=True)
        kernel.bind(source, _at(root, path))
    for target, shared in sources.shared.items():
        kernel.bind(Path(shared), _at(root, Path(target)))
    _bind_read_only(Path(sources.folder), _at(root, FOLDER))
    for kept in map(Path, sources.keep):
        if kept.is_dir() and any(kept.is_relative_to(path) for path in (_RUN, *map(Path, DURABLE))):
            _at(root, kept).mkdir(parents=True, exist_ok=True)
            _bind_read_only(kept, _at(root, kept))


def _mount_kernel(root: Path, boot_file: Path, boot_id: str) -> None:
    """/proc of the machine's processes, /sys of its network cards, a boot id of its own."""
    kernel.mount("proc", _at(root, _PROC), "proc", _SAFE)
    boot_file.write_text(f"{boot_id}\n")
    kernel.bind(boot_file, _at(root, _BOOT_ID))
    try:
        kernel.mount("sysfs", _at(root, _SYS), "sysfs", _SAFE)
    except PermissionError:
        # A container that masks parts of /sys allows no fresh one; netlink still tells the truth.
        kernel.bind(_SYS, _at(root, _SYS))


def _mount_devices(root: Path) -> None:
    dev = _at(root, _DEV)
    kernel.mount("tmpfs", dev, "tmpfs", kernel.MS_NOSUID, "mode=755,size=64k")
    for name in filter(lambda name: (_DEV / name).exists(), _DEVICES):
        (dev / name).touch()
        kernel.bind(_DEV / name, dev / name)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (dev / name).symlink_to(target)
    (dev / "shm").mkdir()
    kernel.mount("tmpfs", dev / "shm", "tmpfs", _SAFE, "mode=1777,size=64m")
    (dev / "pts").mkdir()
    kernel.mount("devpts", dev / "pts", "devpts", kernel.MS_NOSUID, "newinstance,ptmxmode=0666,mode=620")
    (dev / "ptmx").symlink_to("pts/ptmx")


def _bind_read_only(source: Path, target: Path) -> None:
    kernel.bind(source, target)
    kernel.make_read_only(target, recursive=True)


def _at(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")
