"""Arguments, options and the confirmation that commands share. What a command does with them is its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from hsorch.cli.console import Terminal
from hsorch.errors import RefusedError, UsageError

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_MANIFEST = "cluster.yaml"
SUFFIXES = (".yaml", ".yml")
_VAR_FILES = "hsorch.var_files"


def manifest_argument(function: F) -> F:
    """One manifest as `manifest: Path`; without it, cluster.yaml here."""
    return click.argument(
        "manifest", required=False, type=click.Path(), callback=lambda _c, _p, value: find_manifest(value)
    )(_var_file_option(function))


def pair_argument(function: F) -> F:
    """A pair, as `manifest: str | None` and `here: bool`, for hsorch.cli.nodes.open_pair.

    Either a manifest (the controller) or --here (hsorch runs on one of the nodes).
    """
    here = click.option("--here", is_flag=True, help="This machine is a node of the pair; needs no manifest.")
    return click.argument("manifest", required=False, type=click.Path())(here(_var_file_option(function)))


def name_argument(name: str) -> Callable[[F], F]:
    """A node's or an incident's name, which stands before the manifest."""

    def refuse_manifest(ctx: click.Context, param: click.Parameter, value: str) -> str:
        if value.endswith(SUFFIXES):
            raise UsageError(
                f"{value} is a manifest, and {ctx.command_path} wants the name of the {name} first",
                hint=f"{ctx.command_path} {param.human_readable_name} {value}",
                code="HS916",
            )
        return value

    return click.argument(name, callback=refuse_manifest)


def manifests_argument(function: F) -> F:
    """Any number of manifests and folders as `manifests: list[Path]`; without one, cluster.yaml here."""
    return click.argument(
        "manifests", nargs=-1, type=click.Path(), callback=lambda _c, _p, value: find_manifests(value)
    )(_var_file_option(function))


def _var_file_option(function: F) -> F:
    """Part of every manifest argument. The files go to where the manifest is loaded: see var_files()."""

    def keep(ctx: click.Context, _param: click.Parameter, value: tuple[Path, ...]) -> None:
        ctx.meta[_VAR_FILES] = value

    return click.option(
        "--var-file",
        multiple=True,
        type=click.Path(path_type=Path),
        expose_value=False,
        callback=keep,
        help="Values of variables; several files: the last wins.",
    )(function)


def var_files() -> tuple[Path, ...]:
    """The files of --var-file of the command that runs."""
    ctx = click.get_current_context(silent=True)
    return tuple(ctx.meta.get(_VAR_FILES, ())) if ctx else ()


class _Format(click.Option):
    """Python's name for it ends in `_`; the name of its environment variable must not."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        return os.environ.get(f"{ctx.auto_envvar_prefix}_FORMAT") or None


def format_option(*formats: str, default: str = "text") -> Callable[[F], F]:
    """`--format` as `format_: str`."""
    return click.option(
        "--format",
        "format_",
        cls=_Format,
        type=click.Choice(formats),
        default=default,
        show_default=True,
        help="Form of the output.",
    )


def yes_option(function: F) -> F:
    """`--yes` as `yes: bool`: the answer to a question that asks for `yes`."""
    return click.option("-y", "--yes", is_flag=True, help="Answer yes; needed where nobody can be asked.")(
        function
    )


def confirm_option(function: F) -> F:
    """`--confirm NAME` as `confirm: str | None`: answers a question that asks for the cluster's name."""
    return click.option(
        "--confirm", metavar="NAME", help="The cluster's name, for what --yes alone may not do."
    )(function)


def find_manifest(given: str | None) -> Path:
    """The one manifest meant. Raises UsageError when there is none, or a folder holds several."""
    found = find_manifests([given] if given else [])
    if len(found) > 1:
        raise UsageError(
            f"{given} holds {len(found)} manifests, one is wanted here",
            hint=f"name one of them: {', '.join(str(path) for path in found[:5])}",
            code="HS903",
        )
    return found[0]


def find_manifests(given: Iterable[str]) -> list[Path]:
    """Files as given, and every manifest below a folder (hidden ones left out), in a stable order.

    A file that does not exist is kept: loading says so with the other faults of the run.
    """
    paths = [Path(item) for item in given]
    if not paths:
        if not Path(DEFAULT_MANIFEST).exists():
            raise UsageError(
                f"no manifest was named and there is no {DEFAULT_MANIFEST} in {Path.cwd()}",
                hint="name a file or folder, or write one with: hsorch init",
                code="HS902",
            )
        paths = [Path(DEFAULT_MANIFEST)]
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = sorted(file for file in path.rglob("*") if _is_manifest(file, path))
            if not below:
                raise UsageError(
                    f"there is no manifest below the folder {path}",
                    hint=f"a manifest is a file that ends in {' or '.join(SUFFIXES)}",
                    code="HS902",
                )
            found += below
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def approve(
    terminal: Terminal,
    question: str,
    *,
    word: str = "yes",
    stakes: Sequence[str] = (),
    yes: bool = False,
    confirm: str | None = None,
) -> None:
    """Return when the user typed `word`, or approved beforehand; otherwise raise RefusedError (exit 8).

    word: `yes`, or the cluster's name for an outage and for what overwrites data or bends a safety rule.
    yes: the flag --yes; hand it in only where --yes is enough (never for the latter kind).
    confirm: the value of --confirm. stakes: what is at stake, one line each, shown before the question.
    """
    if confirm is not None and confirm != word:
        raise RefusedError(
            f"--confirm says '{confirm}', but this is about '{word}'; nothing was changed",
            hint=f"check the manifest; if it is the right one: --confirm {word}",
            code="HS911",
        )
    if yes or confirm is not None:
        return
    flag = "--yes" if word == "yes" else f"--confirm {word}"
    if not terminal.interactive:
        raise RefusedError(
            f"this needs approval and nobody can be asked here: {question}",
            hint=f"run it on a terminal, or add {flag}",
            detail="\n".join(stakes),
            code="HS910",
        )
    for line in stakes:
        click.echo(line, err=True)
    typed = click.prompt(f"{question}\nType '{word}' to go on", default="", show_default=False, err=True)
    if typed != word:
        raise RefusedError(
            f"declined: '{word}' was not typed; nothing was changed",
            hint=f"run it again and type {word}, or add {flag}",
            code="HS912",
        )


def _is_manifest(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.suffix in SUFFIXES and path.is_file() and not hidden
