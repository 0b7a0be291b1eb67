"""Entry of the node side: `python3 -m hsorch.node VERB`, JSON on stdin, one Reply on stdout.

Needs nothing but the standard library and msgspec.
"""

from __future__ import annotations

import sys

import msgspec

from hsorch.errors import HsorchError
from hsorch.node import deploy, operate, run
from hsorch.verbs import Reply

VERBS = {**deploy.VERBS, **operate.VERBS}
"""verb → function(stdin bytes) -> msgspec-encodable data; raises HsorchError."""


def main(argv: list[str]) -> int:
    if len(argv) >= 2 and argv[1] in run.PROCESSES:
        return run.PROCESSES[argv[1]](argv[2:])
    if len(argv) != 2 or argv[1] not in VERBS:
        sys.stderr.write(f"usage: hsorch.node {'|'.join([*VERBS, *run.PROCESSES])}\n")
        return 64
    try:
        data = VERBS[argv[1]](sys.stdin.buffer.read())
        reply = Reply(ok=True, data=msgspec.Raw(msgspec.json.encode(data)))
    except HsorchError as error:
        reply = Reply(
            ok=False, code=error.code, message=error.message, hint=error.hint, detail=error.detail
        )
    sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
    return 0 if reply.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
