"""`hsorch witness serve`: run the third vote on a machine that is neither of the two nodes."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def witness() -> None:
    """The third vote of a pair."""


@witness.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Directory of the registers; must be on a disk that survives a power cut.",
)
@click.option("--listen", default="0.0.0.0:7350", show_default=True, help="ADDRESS:PORT to serve on.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    required=True,
    help="File with the token that the nodes sign with; readable by its owner only.",
)
@click.option(
    "--certificate", type=click.Path(path_type=Path), help="PEM with certificate and key: serve https."
)
def serve(data: Path, listen: str, token_file: Path, certificate: Path | None) -> None:
    """Keep one write-once register per cluster and epoch until interrupted."""
    from hsorch.node.witness import server

    address, port = _split(listen)
    server.serve(data, (address, port), token_file, certificate)


def _split(listen: str) -> tuple[str, int]:
    address, colon, port = listen.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise click.BadParameter(
            f"'{listen}' is not ADDRESS:PORT, for example 192.0.2.7:7350 or [2001:db8::7]:7350",
            param_hint="--listen",
        )
    return address.strip("[]") or "0.0.0.0", int(port)
