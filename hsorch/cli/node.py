"""`hsorch node VERB`: passes through to hsorch.node.__main__. Same bytes in and out as on a node."""

from __future__ import annotations

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="VERB [ARGUMENT]...")
def node(arguments: tuple[str, ...]) -> int:
    """The node's own door: one verb, JSON on stdin, one JSON reply on stdout."""
    from hsorch.node.__main__ import main

    return main(["hsorch node", *arguments])
