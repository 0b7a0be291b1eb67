"""Start-up of the command line beside bare click; validation of many manifests."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.table import Row, Table
from tests.lab.test_ssh import ssh_site

EXAMPLE = Path(__file__).parents[2] / "examples/lab/cluster.yaml"
BARE_CLICK = """\
import click
@click.command()
@click.version_option("1")
def main(): ...
main()
"""


def start_up(rounds: int = 30) -> Table:
    """Milliseconds of whole processes, contenders interleaved so that noise hits both."""
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE_CLICK)
        commands = {
            "bare click": [sys.executable, str(bare), "--version"],
            "hsorch --version": [str(Path(sys.executable).with_name("hsorch")), "--version"],
        }
        samples: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                samples[name].append(_milliseconds(command))
    return Table("Start-up of the command line", "ms", tuple(Row(n, tuple(s)) for n, s in samples.items()))


def validate_many(count: int = 1000) -> Table:
    """Seconds for `hsorch validate` on a folder of manifests, each of them another cluster."""
    with tempfile.TemporaryDirectory() as folder:
        text = EXAMPLE.read_text()
        for number in range(count):
            site = Path(folder) / f"site-{number:04}" / "cluster.yaml"
            site.parent.mkdir()
            site.write_text(text.replace("cluster: lab", f"cluster: site-{number}"))
        hsorch = str(Path(sys.executable).with_name("hsorch"))
        command = ["taskset", "-c", "0", hsorch, "validate", "--format", "concise", folder]
        seconds = tuple(_milliseconds(command) / 1000 for _ in range(3))
    return Table(f"Validation of {count} manifests on one core", "s", (Row("hsorch validate", seconds),))


def plan_over_ssh(rounds: int = 5) -> Table:
    """Seconds of `hsorch plan` for a live pair over SSH, from the lab's client machine; nothing to change."""
    with tempfile.TemporaryDirectory() as folder:
        sites = ssh_site(Path(folder))
        site = next(sites)
        site.keyscan()
        applied = site.hsorch("apply", "--yes")
        assert applied.returncode == 0, applied.stderr
        before = site.sessions("node-a")
        samples = []
        for _ in range(rounds):
            begin = time.perf_counter()
            planned = site.hsorch("plan")
            samples.append(time.perf_counter() - begin)
            assert "No changes" in planned.stdout, planned.stderr
        commands = (site.sessions("node-a") - before) / rounds
        next(sites, None)
    row = Row("hsorch plan", tuple(samples), f"{commands:g} command a node")
    return Table("Plan of a live pair over SSH", "s", (row,))


def _milliseconds(command: Sequence[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return (time.perf_counter() - begin) * 1000
