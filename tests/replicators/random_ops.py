"""An application that does anything to a folder: python random_ops.py FOLDER SEED COUNT."""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

FOLDERS = ("", "a", "a/b", "c")
HELD = 6
"""Files that are open at once."""


class Application:
    """Each deed raises OSError where it does not go."""

    def __init__(self, root: Path, seed: int) -> None:
        self._root = root
        self._rng = random.Random(seed)
        self._opened: list[int] = []
        for folder in FOLDERS[1:]:
            (root / folder).mkdir(parents=True, exist_ok=True)

    def run(self, count: int) -> None:
        deeds: list[tuple[Callable[[], object], int]] = [
            (self.write, 30), (self.write_held, 25), (self.hold, 6), (self.rename, 8), (self.unlink, 8),
            (self.link, 4), (self.symlink, 2), (self.attributes, 6), (self.mapped, 4), (self.truncate, 6),
            (self.punch, 1), (self.move_folder, 1),
        ]  # fmt: skip
        plan = self._rng.choices([deed for deed, _ in deeds], [weight for _, weight in deeds], k=count)
        for deed in plan:
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                deed()
        for descriptor in self._opened:
            os.close(descriptor)

    def write(self) -> None:
        rng = self._rng
        path, how = self._name(), rng.choice([0, os.O_TRUNC, os.O_APPEND])
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | how, 0o644)
        os.pwrite(descriptor, rng.randbytes(rng.randrange(1, 20_000)), rng.randrange(40_000))
        os.close(descriptor)

    def hold(self) -> None:
        self._opened.append(os.open(self._name(), os.O_RDWR | os.O_CREAT, 0o640))
        if len(self._opened) > HELD:
            os.close(self._opened.pop(self._rng.randrange(len(self._opened))))

    def write_held(self) -> None:
        if self._opened:
            rng = self._rng
            os.pwrite(rng.choice(self._opened), rng.randbytes(3_000), rng.randrange(30_000))

    def rename(self) -> None:
        os.replace(self._name(), self._name())

    def unlink(self) -> None:
        self._name().unlink()

    def link(self) -> None:
        os.link(self._name(), self._name())

    def symlink(self) -> None:
        path = self._name()
        os.symlink(f"f{self._rng.randrange(25)}", f"{path}-link{self._rng.randrange(3)}")

    def attributes(self) -> None:
        path, rng = self._name(), self._rng
        os.chmod(path, rng.choice([0o600, 0o644, 0o755]))
        os.utime(path, ns=(rng.randrange(10**18), rng.randrange(10**18)))
        os.setxattr(path, f"user.k{rng.randrange(3)}", rng.randbytes(9))

    def mapped(self) -> None:
        with self._name().open("r+b") as file:
            size = os.fstat(file.fileno()).st_size
            if size:
                with mmap.mmap(file.fileno(), size) as memory:
                    at = self._rng.randrange(size)
                    memory[at : at + 1] = b"m"
                    memory.flush()

    def truncate(self) -> None:
        os.truncate(self._name(), self._rng.randrange(30_000))

    def punch(self) -> None:
        subprocess.run(
            ["fallocate", "-p", "-o", str(self._rng.randrange(9) * 4096), "-l", "8192", str(self._name())],
            stderr=subprocess.DEVNULL,
        )

    def move_folder(self) -> None:
        os.rename(self._root / "c", self._root / "d")
        (self._root / "d/x").mkdir(exist_ok=True)
        os.rename(self._root / "d", self._root / "c")

    def _name(self) -> Path:
        return self._root / self._rng.choice(FOLDERS) / f"f{self._rng.randrange(25)}"


if __name__ == "__main__":
    Application(Path(sys.argv[1]), int(sys.argv[2])).run(int(sys.argv[3]))
