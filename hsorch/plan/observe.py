"""Look at both nodes at once, with one command each, whether or not a runtime is there yet."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from hsorch.errors import AuthError, HsorchError, NodeError, TransportError
from hsorch.node.deployment import probe
from hsorch.node.deployment.wire import Facts, FactsQuery
from hsorch.transport import door
from hsorch.transport.base import Transport

_LOOK = """
runtime=$1 query=$2 want=$3; shift 3
if facts=$(printf %s "$query" | "$runtime" facts 2>/dev/null); then printf %s "$facts"; exit; fi
for python in "$@"; do "$python" -I -c "$want" 2>/dev/null && exec "$python" -I -; done
exec python3 -I -
"""
"""With a sound runtime: its own facts. Without: the probe (stdin) in the Python that the bundle is for."""

_RUN = """
want=$1 source=$2 pythons=$3; shift 3
for python in $pythons; do "$python" -I -c "$want" 2>/dev/null && exec "$python" -I -c "$source" "$@"; done
echo "none of these is the Python that is needed: $pythons" >&2; exit 127
"""

LOOK_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Observation:
    """facts None: the node is still to be made (a lab that is not up)."""

    node: str
    facts: Facts | None


def observe(transports: Mapping[str, Transport], cluster: str) -> dict[str, Observation]:
    """Facts of all nodes, in parallel. Raises the gravest failure, with all of them in its detail."""
    with ThreadPoolExecutor(len(transports)) as pool:
        looks = {name: pool.submit(look, door_, name, cluster) for name, door_ in transports.items()}
    failures = {name: error for name, job in looks.items() if (error := job.exception()) is not None}
    if failures:
        raise _gravest(failures)
    return {name: Observation(name, job.result()) for name, job in looks.items()}


def look(transport: Transport, node: str, cluster: str) -> Facts:
    """Facts of one node; one command."""
    done = transport.run(look_argv(cluster), inspect.getsource(probe).encode(), LOOK_LIMIT_S)
    if done.returncode == 127:
        raise NodeError(
            f"there is no python3 on {node}",
            hint=f"install it: apt-get install python3 (hsorch here needs {_python()} there)",
            detail=done.stderr.decode(errors="replace").strip(),
            code="HS404",
        )
    try:
        return door.parse(done.stdout, Facts)
    except msgspec.DecodeError:
        return door.decode(node, "facts", done, Facts)


def look_argv(cluster: str) -> list[str]:
    query = msgspec.json.encode(FactsQuery(cluster=cluster)).decode()
    runtime = f"{door.RUNTIMES}/current/hsorch-node"
    return ["sh", "-c", _LOOK, "look", runtime, query, _wanted(), *_pythons()]


def python_argv(source: str, *arguments: str) -> list[str]:
    """Run a source of ours with the Python that the bundle is for; its stdin stays free."""
    return ["sh", "-c", _RUN, "run", _wanted(), source, " ".join(_pythons()), *arguments]


def _wanted() -> str:
    return f"import sys; sys.exit(sys.version_info[:2] != {tuple(sys.version_info[:2])})"


def _pythons() -> list[str]:
    return [_python(), "python3", os.path.realpath(sys.executable)]


def _python() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def _gravest(failures: Mapping[str, BaseException]) -> BaseException:
    """A bug first, then credentials, then what cannot be reached, then the rest."""
    ranked = sorted(failures.items(), key=lambda pair: (_rank(pair[1]), pair[0]))
    gravest = ranked[0][1]
    if isinstance(gravest, HsorchError) and len(ranked) > 1:
        also = [f"also {name}: {error}" for name, error in ranked[1:]]
        gravest.detail = "\n".join(filter(None, [gravest.detail, *also]))
    return gravest


def _rank(error: BaseException) -> int:
    kinds = (AuthError, TransportError, HsorchError)
    return next((rank for rank, kind in enumerate(kinds, start=1) if isinstance(error, kind)), 0)
