"""Entry of the node side: `python3 -m hsorch.node VERB`, JSON on stdin, one Reply on stdout.

Needs nothing but the standard library and msgspec. Guard and agent do not import the verbs: they live long
and must stay small.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import msgspec

from hsorch.errors import HsorchError
from hsorch.node import run
from hsorch.verbs import Reply


def verbs() -> dict[str, Callable[[bytes], Any]]:
    """verb → function(stdin bytes) -> msgspec-encodable data; raises HsorchError."""
    from hsorch.node import deploy, operate, operate_data

    return {**deploy.VERBS, **operate.VERBS, **operate_data.VERBS}


def main(argv: list[str]) -> int:
    if len(argv) >= 2 and argv[1] in run.PROCESSES:
        return run.PROCESSES[argv[1]](argv[2:])
    table = verbs()
    if len(argv) != 2 or argv[1] not in table:
        sys.stderr.write(f"usage: hsorch.node {'|'.join([*table, *run.PROCESSES])}\n")
        return 64
    try:
        data = table[argv[1]](sys.stdin.buffer.read())
        reply = Reply(ok=True, data=msgspec.Raw(msgspec.json.encode(data)))
    except HsorchError as error:
        reply = Reply(ok=False, code=error.code, message=error.message, hint=error.hint, detail=error.detail)
    sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
    return 0 if reply.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
