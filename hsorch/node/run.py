"""The long-running processes of a node, by name: `python3 -m hsorch.node guard CLUSTER`.

Imports each only when it is asked for: the guard must stay small.
"""

from __future__ import annotations

import sys
from collections.abc import Callable


def _guard(argv: list[str]) -> int:
    from hsorch.node import guard

    return guard.main(argv)


def _agent(argv: list[str]) -> int:
    from hsorch.node import agent

    return agent.main(argv)


def _replicator(argv: list[str]) -> int:
    from hsorch.node.replication import door

    return door.main(argv)


PROCESSES: dict[str, Callable[[list[str]], int]] = {
    "guard": _guard,
    "agent": _agent,
    "replicator": _replicator,
}
"""name → function(arguments after the name) -> exit code."""


def command(process: str, cluster: str, *arguments: str) -> list[str]:
    """How one starts the other: same interpreter, same runtime, nothing from the working directory."""
    return [sys.executable, "-P", "-m", "hsorch.node", process, cluster, *arguments]
