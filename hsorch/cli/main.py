"""The entry point: the table of commands, the global options and the one choke point for exit codes.

Commands live in their own modules and are imported when they are called, not before: `--version` and
`--help` load click and nothing else. What a command does is not decided here.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from hsorch import WIRE, __version__
from hsorch.errors import ExitCode, HsorchError

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("hsorch.cli.init:init", "Write a commented manifest from a few answers."),
    "validate": ("hsorch.cli.validate:validate", "Check manifests; all faults in one run."),
    "fmt": ("hsorch.cli.fmt:fmt", "Write manifests in the canonical order and style."),
    "explain": ("hsorch.cli.explain:explain", "Explain a code, or why a pair can or cannot fail over."),
    "graph": ("hsorch.cli.graph:graph", "Show the steps of an apply as tree, DOT or Mermaid."),
    "simulate": (
        "hsorch.cli.simulate:simulate",
        "Run the real core through faults in virtual time.",
    ),
    "plan": ("hsorch.cli.plan:plan", "Show what apply would change on both nodes."),
    "apply": ("hsorch.cli.apply:apply", "Make both nodes match the manifest."),
    "drift": ("hsorch.cli.drift:drift", "Show where the nodes left the manifest."),
    "status": ("hsorch.cli.status:status", "One screen: is the pair up, is it protected, and why not."),
    "events": ("hsorch.cli.events:events", "The event log of both nodes, merged."),
    "bring-in": ("hsorch.cli.operate:bring_in", "Start the group on the pair."),
    "bring-out": ("hsorch.cli.operate:bring_out", "Stop the group on the pair."),
    "switch": ("hsorch.cli.operate:switch", "Move the group to the other node."),
    "set-active": ("hsorch.cli.operate:set_active", "Say which node starts the group, while it is out."),
    "maintenance": ("hsorch.cli.operate:maintenance", "Hold automatic moves (on) or allow them again (off)."),
    "takeover": ("hsorch.cli.operate:takeover", "Force the group onto a node by the operator's word."),
    "select-source": (
        "hsorch.cli.select_source:select_source",
        "Say whose data count, after a look at what the other side loses.",
    ),
    "resync": ("hsorch.cli.resync:resync", "Let a node follow that came back and waits to be told."),
    "quarantine": ("hsorch.cli.quarantine:quarantine", "What resyncs put away: list, show, restore, drop."),
    "verify": ("hsorch.cli.verify:verify", "Compare the data of both nodes and repair what differs."),
    "release-deletions": (
        "hsorch.cli.verify:release_deletions",
        "Let deletions through that were held back.",
    ),
    "lab": ("hsorch.cli.lab:lab", "The embedded pair: two nodes on this machine, faults included."),
    "witness": ("hsorch.cli.witness:witness", "Serve the witness register."),
    "node": ("hsorch.cli.node:node", "The node's own door: JSON on stdin, JSON on stdout."),
    "completion": ("hsorch.cli.completion:completion", "Print the completion script of a shell."),
}
"""name → (module:attribute, one line of help). The order is the order of `hsorch --help`."""


class LazyGroup(click.Group):
    """Knows its commands by name and help line; imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{attribute} is not a click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            advice = f" Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"no such command '{args[0]}'.{advice}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """An error that hsorch can explain ends here, where it is known how the user wants to see it."""
        try:
            return super().invoke(ctx)
        except HsorchError as error:
            from hsorch.cli.failure import show

            show(error, ctx.obj)
            return error.exit_code

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"hsorch {__version__} (wire {WIRE})")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"auto_envvar_prefix": "HSORCH", "help_option_names": ["-h", "--help"]},
    epilog="Every option can be set by the environment: HSORCH_COLOR, HSORCH_VALIDATE_FORMAT, ...",
)
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="Colour.")
@click.option("-q", "--quiet", is_flag=True, help="Only results and errors.")
@click.option("-v", "--verbose", count=True, help="Tell more; -vv tells all.")
@click.option("--log-file", type=click.Path(dir_okay=False), help="Append a log to this file.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Form of the log.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    allow_from_autoenv=False,
    callback=_print_version,
    help="Show versions.",
)
@click.pass_context
def cli(
    ctx: click.Context, color: str, quiet: bool, verbose: int, log_file: str | None, log_format: str
) -> None:
    """Turn a pair of servers into a hot-standby pair from one YAML file."""
    from hsorch.cli.console import Terminal, start_log

    ctx.obj = Terminal.open(color, quiet=quiet, verbosity=verbose)
    if log_file is not None:
        start_log(log_file, log_format, verbose, sys.argv[1:])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Nothing below this function ends the process.

    Three kinds of failure are told apart: the command line (64), what hsorch knows how to explain
    (HsorchError, its own code), and a bug of hsorch (one line, a report file, 1).
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        result: Any = cli.main(arguments, prog_name="hsorch", standalone_mode=False)
        sys.stdout.flush()
        return ExitCode.OK if result is None else int(result)
    except click.UsageError as error:
        error.show()
        return ExitCode.USAGE
    except click.ClickException as error:
        error.show()
        return ExitCode.ERROR
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has left. Python would complain once more at exit without this.
        sys.stdout = None
        return ExitCode.OK
    except Exception as error:
        from hsorch.cli.failure import report_bug

        report_bug(error, arguments)
        return ExitCode.ERROR


if __name__ == "__main__":
    sys.exit(main())
