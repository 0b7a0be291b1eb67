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


def main(root: Path, seed: int, count: int) -> None:
    rng = random.Random(seed)
    folders = ["", "a", "a/b", "c"]
    for folder in folders[1:]:
        (root / folder).mkdir(parents=True, exist_ok=True)
    opened: list[int] = []

    def name() -> Path:
        return root / rng.choice(folders) / f"f{rng.randrange(25)}"

    def write() -> None:
        descriptor = os.open(name(), os.O_RDWR | os.O_CREAT | rng.choice([0, os.O_TRUNC, os.O_APPEND]), 0o644)
        os.pwrite(descriptor, rng.randbytes(rng.randrange(1, 20_000)), rng.randrange(40_000))
        os.close(descriptor)

    def hold() -> None:
        opened.append(os.open(name(), os.O_RDWR | os.O_CREAT, 0o640))
        if len(opened) > 6:
            os.close(opened.pop(rng.randrange(len(opened))))

    def write_held() -> None:
        if opened:
            os.pwrite(rng.choice(opened), rng.randbytes(3_000), rng.randrange(30_000))

    def mapped() -> None:
        path = name()
        with path.open("r+b") as file:
            size = os.fstat(file.fileno()).st_size
            if size:
                with mmap.mmap(file.fileno(), size) as memory:
                    at = rng.randrange(size)
                    memory[at : at + 1] = b"m"
                    memory.flush()

    def punch() -> None:
        subprocess.run(
            ["fallocate", "-p", "-o", str(rng.randrange(9) * 4096), "-l", "8192", str(name())],
            stderr=subprocess.DEVNULL,
        )

    def link() -> None:
        os.link(name(), name())

    def symlink() -> None:
        path = name()
        os.symlink(f"f{rng.randrange(25)}", f"{path}-link{rng.randrange(3)}")

    def attributes() -> None:
        path = name()
        os.chmod(path, rng.choice([0o600, 0o644, 0o755]))
        os.utime(path, ns=(rng.randrange(10**18), rng.randrange(10**18)))
        os.setxattr(path, f"user.k{rng.randrange(3)}", rng.randbytes(9))

    def move_folder() -> None:
        os.rename(root / "c", root / "d")
        (root / "d/x").mkdir(exist_ok=True)
        os.rename(root / "d", root / "c")

    deeds: list[tuple[Callable[[], object], int]] = [
        (write, 30), (write_held, 25), (hold, 6), (lambda: os.replace(name(), name()), 8),
        (lambda: name().unlink(), 8), (link, 4), (symlink, 2), (attributes, 6), (mapped, 4),
        (lambda: os.truncate(name(), rng.randrange(30_000)), 6), (punch, 1), (move_folder, 1),
    ]  # fmt: skip
    plan = rng.choices([deed for deed, _ in deeds], [weight for _, weight in deeds], k=count)
    for deed in plan:
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            deed()
    for descriptor in opened:
        os.close(descriptor)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
