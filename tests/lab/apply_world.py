"""What the apply tests look at: all that hsorch keeps on nodes; and applies that are killed or stopped."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.lab.world import HSORCH, Pair

VOLATILE = ("/events", "/state.json", "/incarnation", "/runtime.log", "/audit.log")
"""What a running pair writes by itself."""


def untouched(pair: Pair) -> dict[str, str]:
    """Path → inode, time of change and size of all that only an apply writes, on both nodes."""
    found = {}
    for node in pair.nodes:
        listing = pair.exec(node, "find", "/var/lib/hsorch", "-printf", "%p %i %C@ %s\\n").stdout
        for line in listing.splitlines():
            path, _, rest = line.partition(" ")
            # A directory's own times move with the volatile files in it.
            if not path.endswith(f"/{pair.cluster}") and not any(part in path for part in VOLATILE):
                found[f"{node}:{path}"] = rest
    return found


def end_state(pair: Pair) -> dict[str, Any]:
    """What must be the same after any number of interruptions. Random parts only as equal or not."""
    home = f"/var/lib/hsorch/{pair.cluster}"
    state: dict[str, Any] = {}
    files: dict[str, list[str]] = {}
    for node in pair.nodes:
        listing = pair.exec(
            node, "find", "/var/lib/hsorch", "-name", "*.pyc", "-prune", "-o", "-print"
        ).stdout
        names = sorted(line.replace(pair.cluster, "CLUSTER") for line in listing.splitlines())
        state[f"{node} files"] = [name for name in names if not any(part in name for part in VOLATILE)]
        state[f"{node} runtime"] = pair.exec(node, "readlink", "/var/lib/hsorch/runtime/current").stdout
        spec = json.loads(pair.exec(node, "cat", f"{home}/spec.json").stdout)
        state[f"{node} revision"] = spec["revision"]
        identity = json.loads(pair.exec(node, "cat", f"{home}/identity.json").stdout)
        state[f"{node} is"] = identity["node"]
        files.setdefault("key", []).append(pair.exec(node, "cat", f"{home}/key").stdout)
        files.setdefault("cluster_id", []).append(identity["cluster_id"])
        files.setdefault("spec", []).append(json.dumps(spec))
        report = pair.status(node)
        state[f"{node} reports"] = report and (report.up, report.protected, report.desired, report.revision)
    state["the same on both"] = {name: len(set(contents)) == 1 for name, contents in files.items()}
    return state


def ask(pair: Pair, node: str, verb: str, order: dict[str, str]) -> None:
    """One verb at the node's own door."""
    script = f"printf %s '{json.dumps(order)}' | /var/lib/hsorch/runtime/current/hsorch-node {verb}"
    done = pair.exec(node, "sh", "-c", script, timeout=100)
    assert '"ok":true' in done.stdout, done


def interrupted_apply(manifest: Path, step: str) -> subprocess.CompletedProcess[str]:
    """Run an apply and press Ctrl-C when this step begins."""
    argv = [*HSORCH, "apply", str(manifest), "--yes", "--format", "json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            record = json.loads(line)
            if (record["type"], record.get("step")) == ("step_start", step):
                process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        errors = process.stderr.read()
    return subprocess.CompletedProcess(argv, process.returncode, "".join(lines), errors)


def killed_apply(manifest: Path, step: str, *options: str) -> list[str]:
    """Run an apply and kill -9 it when this step begins. Returns the ids of the steps that had begun."""
    begun = []
    argv = [*HSORCH, "apply", str(manifest), "--yes", "--format", "json", *options]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            record = json.loads(line)
            if record["type"] == "step_start":
                begun.append(record["step"])
                if record["step"] == step:
                    process.send_signal(signal.SIGKILL)
                    break
    assert process.returncode == -signal.SIGKILL, f"the apply never began {step}, only {begun}"
    return begun
