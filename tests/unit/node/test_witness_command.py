"""`hsorch witness serve` as a process: the third vote as an operator starts it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from hsorch.node.core.types import WitnessOutcome
from hsorch.node.witness.client import HttpRegister
from hsorch.spec import HttpWitness, Secret

CLUSTER = "00112233445566778899aabbccddeeff"


def command(tmp_path: Path, listen: str) -> list[str]:
    options = ["--data", str(tmp_path / "data"), "--listen", listen, "--token-file", str(tmp_path / "token")]
    return [sys.executable, "-m", "hsorch.cli.main", "witness", "serve", *options]


def test_it_keeps_its_registers_over_a_kill(tmp_path: Path, unused_port: int) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef" * 2)
    witness = HttpWitness(url=f"http://127.0.0.1:{unused_port}", token=Secret(file=str(token)))
    for expected in (WitnessOutcome.CREATED, WitnessOutcome.EXISTS):
        with subprocess.Popen(command(tmp_path, f"127.0.0.1:{unused_port}")) as server:
            try:
                register = HttpRegister(witness, CLUSTER)
                while (answer := register.create(1, "a", 2.0)).outcome is WitnessOutcome.FAILED:
                    assert server.poll() is None
                    time.sleep(0.05)
            finally:
                server.kill()
        assert answer.outcome is expected


def test_a_listen_address_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path, "nowhere"), capture_output=True, text=True, timeout=30)
    assert done.returncode == 64
    assert "ADDRESS:PORT" in done.stderr
