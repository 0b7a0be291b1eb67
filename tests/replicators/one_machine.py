"""A replicator of one of two nodes on the same machine: python one_machine.py CLUSTER ROOT.

The folder that both nodes would call the same has two names there; nobody minds.
"""

from __future__ import annotations

import sys

from hsorch.node.replication import door, ground, reception


def main(argv: list[str]) -> int:
    for module in (ground, reception):
        vars(module)["likeness"] = lambda _: b"alike"
    return door.main(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
