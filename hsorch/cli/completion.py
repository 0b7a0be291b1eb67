"""`hsorch completion SHELL`: prints the script that makes a shell complete hsorch's words.

bash, zsh and fish are click's own scripts; PowerShell is ours and speaks click's bash protocol.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from hsorch.cli.console import Terminal

POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName hsorch -ScriptBlock {
    param($word, $line, $position)
    $text = $line.ToString().Substring(0, [Math]::Min($position, $line.ToString().Length))
    $words = $text -split '\\s+'
    $env:COMP_WORDS = $text
    $env:COMP_CWORD = $words.Count - 1
    $env:_HSORCH_COMPLETE = 'bash_complete'
    try {
        hsorch | ForEach-Object {
            $kind, $value = $_ -split ',', 2
            [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $value)
        }
    } finally {
        Remove-Item Env:COMP_WORDS, Env:COMP_CWORD, Env:_HSORCH_COMPLETE
    }
}
"""

SHELLS = ("bash", "zsh", "fish", "powershell")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_obj
def completion(terminal: Terminal, shell: str) -> None:
    """Print the completion script of a shell.

    bash, zsh: eval "$(hsorch completion bash)"   fish: hsorch completion fish | source
    """
    from hsorch.cli.main import cli

    if shell == "powershell":
        terminal.print(POWERSHELL.rstrip())
        return
    script = get_completion_class(shell)
    assert script is not None, f"click no longer completes {shell}"
    terminal.print(script(cli, {}, "hsorch", "_HSORCH_COMPLETE").source().rstrip())
