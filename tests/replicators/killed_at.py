"""A replicator that kills itself at one exact place: killed_at.py PROGRAM FUNCTION WHEN CALL CLUSTER ROOT.

PROGRAM is the module whose main() is the replicator.
FUNCTION is module:Class.method, or module:name as that module calls it, below hsorch.node.replication. WHEN:
`before` or `after` it, or when it got `half` of its data. Calls count from the moment the file ROOT/armed
exists. The program under test has no such places itself.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

HOME = "hsorch.node.replication"
SEGMENT_BYTES = 128 * 1024
"""Journals begin a new segment so often, so that this too happens within a test."""


@dataclass(frozen=True)
class Moment:
    """call: the how maniest one, from 1."""

    function: str
    when: str
    call: int = 1

    def __str__(self) -> str:
        return f"{self.when}-{self.function.rpartition(':')[2]}-{self.call}"


def command(program: str, moment: Moment, cluster: str, root: Path) -> list[str]:
    place = [moment.function, moment.when, str(moment.call)]
    return [sys.executable, __file__, program, *place, cluster, str(root)]


def install(moment: Moment, armed: Path) -> None:
    module_name, _, path = moment.function.partition(":")
    owner: Any = importlib.import_module(f"{HOME}.{module_name}")
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    plain = getattr(owner, name)
    lock, calls = threading.Lock(), [0]

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with lock:
            if calls[0] or armed.exists():
                calls[0] += 1
            due = calls[0] == moment.call
        if not due:
            return plain(*args, **kwargs)
        if moment.when == "half":
            plain(*map(_half, args), **kwargs)
        if moment.when == "after":
            plain(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("killed")

    setattr(owner, name, wrapped)


def _half(value: Any) -> Any:
    return value[: len(value) // 2] if isinstance(value, bytes | bytearray | memoryview | list) else value


def main(program: str, function: str, when: str, call: str, cluster: str, root: str) -> int:
    from hsorch.node.replication.journal import Journal

    defaults = Journal.__init__.__kwdefaults__
    assert defaults is not None
    defaults["segment_bytes"] = SEGMENT_BYTES
    install(Moment(function, when, int(call)), Path(root) / "armed")
    ended: int = importlib.import_module(program).main([cluster, root])
    return ended


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
