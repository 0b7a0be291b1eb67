"""The commands of a Markdown page that are meant to be run: lines of code blocks that start with `$ `.

Blocks of the language `lab` need the lab; blocks without a language do not.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    text: str
    lab: bool


def commands(page: str) -> list[Command]:
    """In the order of the page (a path from the root of the project)."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Command(line.removeprefix("$ "), lab=language == "lab")
        for language, block in BLOCK.findall(text)
        for line in block.splitlines()
        if language in ("", "lab") and line.startswith("$ ")
    ]


def checkout(folder: Path, cluster: str) -> Path:
    """A folder with what the pages use, the example's pair named `cluster` so that no other lab is met."""
    shutil.copytree(ROOT / "examples", folder / "examples")
    manifest = folder / "examples" / "lab" / "cluster.yaml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("cluster: demo", f"cluster: {cluster}"))
    return folder


def run(command: Command, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """As a user would, with this interpreter's hsorch first on the PATH."""
    path = f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    return subprocess.run(
        ["bash", "-c", command.text],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
