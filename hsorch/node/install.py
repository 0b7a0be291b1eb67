"""Runtimes of a node, side by side: unpack one, make it current, remove it. Standard library only, one file:

the controller runs this very source with the node's python3, because the first runtime has nothing to run in.
`python3 -c SOURCE unpack NAME SHA256 < bundle.tar` · `activate NAME` · `prune`. Running it again is harmless.

Each runtime is a folder `<version>-<digest>` with a launcher `hsorch-node`; `current` is a symlink that is
swapped in one rename. Nothing reads a runtime before its bundle's digest was checked and it answered once.
"""

from __future__ import annotations

import compileall
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

RUNTIMES = Path("/var/lib/hsorch/runtime")
LAUNCHER = """#!/bin/sh
# The door of this node: hsorch-node VERB. Bound to the interpreter that the bundle was made for.
PYTHONPATH={folder} PYTHONNOUSERSITE=1 exec {python} -P -m hsorch.node "$@"
"""


def unpack(name: str, digest: str, bundle: bytes, runtimes: Path = RUNTIMES) -> Path:
    """Write runtimes/name whole or not at all. Raises ValueError for a bundle that was damaged on its way."""
    folder = runtimes / name
    if folder.is_dir():
        return folder
    if hashlib.sha256(bundle).hexdigest() != digest:
        raise ValueError("the runtime was damaged on its way to the node")
    runtimes.mkdir(parents=True, exist_ok=True)
    part = runtimes / f".{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
        # Debian 12's 3.11.2 has no filters yet; the digest above already vouches for every member.
        if hasattr(tarfile, "data_filter"):
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(part)
    _write_launcher(part, folder)
    compileall.compile_dir(part, quiet=2, stripdir=str(part), prependdir=str(folder))
    _try_out(part)
    _sync(part)
    part.rename(folder)
    _sync_folder(runtimes)
    return folder


def activate(name: str, runtimes: Path = RUNTIMES) -> None:
    if not (runtimes / name).is_dir():
        raise FileNotFoundError(f"runtime {name} was not unpacked")
    link = runtimes / ".current.part"
    link.unlink(missing_ok=True)
    link.symlink_to(name)
    link.replace(runtimes / "current")
    _sync_folder(runtimes)


def prune(keep: set[str], runtimes: Path = RUNTIMES) -> None:
    """Remove all runtimes but these, the current one, and those that something on this machine runs from:
    another pair, or guard and agent of an apply that was killed before it restarted them."""
    current = (runtimes / "current").readlink().name if (runtimes / "current").is_symlink() else ""
    kept = keep | {current} | _in_use(runtimes)
    for folder in runtimes.iterdir():
        if folder.is_dir() and not folder.is_symlink() and folder.name not in kept:
            shutil.rmtree(folder)


def _in_use(runtimes: Path) -> set[str]:
    """Names of the runtimes that living processes were started from, by what the launcher put into their
    environment."""
    wanted, found = f"PYTHONPATH={runtimes}/".encode(), set()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            entries = environment.read_bytes().split(b"\0")
        except OSError:
            continue
        found |= {entry[len(wanted) :].decode() for entry in entries if entry.startswith(wanted)}
    return found


def _write_launcher(part: Path, folder: Path) -> None:
    launcher = part / "hsorch-node"
    launcher.write_text(LAUNCHER.format(folder=folder, python=sys.executable))
    launcher.chmod(0o755)


def _try_out(part: Path) -> None:
    """Import everything the door needs with the interpreter that will run it."""
    environment = {**os.environ, "PYTHONPATH": str(part)}
    argv = [sys.executable, "-P", "-c", "import hsorch.node.__main__"]
    subprocess.run(argv, env=environment, check=True, capture_output=True, timeout=60)


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def main(argv: list[str]) -> int:
    try:
        match argv:
            case ["unpack", name, digest]:
                unpack(name, digest, sys.stdin.buffer.read())
            case ["activate", name]:
                activate(name)
            case ["prune", *keep]:
                prune(set(keep))
            case _:
                sys.stderr.write("usage: unpack NAME SHA256 | activate NAME | prune [NAME...]\n")
                return 64
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"the runtime does not start with {sys.executable}:\n{error.stderr.decode()}")
        return 1
    except (OSError, ValueError, tarfile.TarError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
