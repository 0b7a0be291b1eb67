"""The story of a pair, told with hsorch's own commands: apply, crash, takeover, return. `make demo` runs it.

Every command is shown before it runs; each can be typed by hand. Ends clean, also on Ctrl-C and on errors.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

HSORCH = Path(sys.executable).with_name("hsorch")
MANIFEST = Path(__file__).with_name("cluster.yaml")
CLUSTER = "demo"
BEFORE_CRASH_S = 2
WATCH_S = 8
RETURN_LIMIT_S = 60

console = Console(highlight=False, soft_wrap=True)


def tell(text: str) -> None:
    console.print(f"\n[bold cyan]{text}[/]")


def show(*arguments: str) -> None:
    console.print("[dim]$ hsorch " + " ".join(map(_short, arguments)) + "[/]")


def run(*arguments: str) -> None:
    """Show and run a command; its output goes to the user."""
    show(*arguments)
    subprocess.run([HSORCH, *arguments], check=True)


def look(manifest: str) -> None:
    """The status screen; its exit code is 1 while a node is missing, which is part of the story."""
    show("status", manifest)
    subprocess.run([HSORCH, "status", manifest], check=False)


def ask(*arguments: str) -> dict:
    """The JSON that a command prints."""
    done = subprocess.run([HSORCH, *arguments, "--format", "json"], stdout=subprocess.PIPE, check=False)
    return json.loads(done.stdout or b"{}")


def _short(argument: str) -> str:
    path = Path(argument)
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else argument


def story() -> None:
    manifest = str(MANIFEST)
    tell("Two nodes, a client and a witness on this machine; the pair protects a small application.")
    run("apply", manifest, "--yes")
    look(manifest)
    active = ask("status", manifest)["active"][0]

    tell(f"A client asks 100 times a second. In {BEFORE_CRASH_S} seconds {active} loses its power.")
    watch = ("lab", "probe", "--cluster", CLUSTER, "--for", f"{WATCH_S}s")
    show(*watch, "&")
    with subprocess.Popen([HSORCH, *watch, "--format", "json"], stdout=subprocess.PIPE) as client:
        time.sleep(BEFORE_CRASH_S)
        run("lab", "fault", "--cluster", CLUSTER, "crash", active)
        seen = json.loads(client.communicate()[0])
    console.print(f"[bold green]The client was without an answer for {seen['longest_gap_ms']:.0f} ms.[/]")
    for stretch in seen["stretches"]:
        console.print(
            f"  {stretch['node']:<10} answered {stretch['answers']:>4} requests"
            f" from {stretch['first_ms'] / 1000:.2f} s to {stretch['last_ms'] / 1000:.2f} s"
        )
    look(manifest)

    tell(f"{active} comes back. It does not take the work away again: it stands by.")
    run("lab", "boot", "--cluster", CLUSTER, active)
    _wait_protected(manifest)
    look(manifest)


def _wait_protected(manifest: str) -> None:
    deadline = time.monotonic() + RETURN_LIMIT_S
    while not ask("status", manifest).get("protected"):
        if time.monotonic() > deadline:
            raise SystemExit(f"the pair was not protected again within {RETURN_LIMIT_S} s")
        time.sleep(0.3)


def main() -> int:
    if any(lab["cluster"] == CLUSTER for lab in json.loads(_labs())):
        console.print(f"A lab named {CLUSTER} is up already. End it with: hsorch lab down {CLUSTER}")
        return 1
    try:
        story()
    except KeyboardInterrupt:
        console.print("\nInterrupted.")
        return 130
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    finally:
        tell("Everything goes: processes, networks, disks.")
        run("lab", "down", CLUSTER)
    return 0


def _labs() -> bytes:
    return subprocess.run(
        [HSORCH, "lab", "status", "--format", "json"], stdout=subprocess.PIPE, check=True
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
