"""The story of a pair, told with hsorch's own commands: apply, crash, takeover, return. `make demo` runs it.

Every command is shown before it runs; each can be typed by hand. Ends clean, also on Ctrl-C and on errors.
Where this machine can't replicate, it says why and tells the story of the pair without its data.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

HSORCH = Path(sys.executable).with_name("hsorch")
HERE = Path(__file__).parent
BEFORE_CRASH_S = 3
WATCH_S = 12
RETURN_LIMIT_S = 90

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


def missing() -> list[str]:
    """What the pair with a database needs and this machine lacks."""
    lacks = []
    if shutil.which("mariadbd", path=os.environ.get("PATH", "") + ":/usr/sbin") is None:
        lacks.append("mariadbd (apt-get install mariadb-server)")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        lacks.append("/dev/fuse (modprobe fuse; apt-get install fuse3; in a container: --device /dev/fuse)")
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        try:
            os.setxattr(file.name, "user.hsorch.probe", b"")
        except OSError:
            lacks.append("extended attributes on tmpfs, which the disks of a lab are (Linux 6.6)")
    return lacks


def story(manifest: str, cluster: str, *, replicated: bool) -> None:
    data = ": SQLite and a MariaDB, their data replicated" if replicated else ""
    tell(f"Two nodes, a client and a witness on this machine; the pair protects a small application{data}.")
    run("apply", manifest, "--yes")
    look(manifest)
    active = ask("status", manifest)["active"][0]

    tell(f"A client writes numbered events through the virtual address. Soon {active} loses its power.")
    write = ("lab", "exec", "--cluster", cluster, "client", "python3", "/lab/customer.py", "write")
    show(*write, "--for", str(WATCH_S), "&")
    with subprocess.Popen([HSORCH, *write, "--for", str(WATCH_S)], stdout=subprocess.PIPE) as client:
        time.sleep(BEFORE_CRASH_S)
        run("lab", "fault", "--cluster", cluster, "crash", active)
        seen = json.loads(client.communicate()[0])
    _tell_gap(seen)
    if replicated:
        _compare(cluster, seen["acknowledged"])
    look(manifest)

    tell(f"{active} comes back. It does not take the work away again: it catches up and stands by.")
    run("lab", "boot", "--cluster", cluster, active)
    _wait_protected(manifest)
    look(manifest)
    if replicated:
        tell("And back again, on purpose this time.")
        run("switch", manifest, "--yes")
        _compare(cluster, seen["acknowledged"])


def _tell_gap(seen: dict) -> None:
    console.print(f"[bold green]The client was without an answer for {seen['longest_gap_ms']:.0f} ms.[/]")
    for stretch in seen["stretches"]:
        console.print(
            f"  {stretch['node']:<10} acknowledged {stretch['answers']:>4} events"
            f" from {stretch['first_ms'] / 1000:.2f} s to {stretch['last_ms'] / 1000:.2f} s"
        )


def _compare(cluster: str, acknowledged: list[str]) -> None:
    """Nothing that a client was told is missing in any book."""
    read = ("lab", "exec", "--cluster", cluster, "client", "python3", "/lab/customer.py", "read")
    show(*read)
    books = json.loads(subprocess.run([HSORCH, *read], stdout=subprocess.PIPE, check=True).stdout)
    for name, bodies in books.items():
        lost = set(acknowledged) - set(bodies)
        colour = "bold red" if lost else "bold green"
        console.print(
            f"[{colour}]{name}: {len(acknowledged)} events were acknowledged,"
            f" {len(acknowledged) - len(lost)} of them are there, {len(lost)} are missing.[/]"
        )
        if lost:
            raise SystemExit(f"lost in {name}: {sorted(lost)[:10]}")


def _wait_protected(manifest: str) -> None:
    deadline = time.monotonic() + RETURN_LIMIT_S
    while not ask("status", manifest).get("protected"):
        if time.monotonic() > deadline:
            raise SystemExit(f"the pair was not protected again within {RETURN_LIMIT_S} s")
        time.sleep(0.3)


def main() -> int:
    lacks = missing()
    replicated = not lacks
    if lacks:
        console.print("[bold yellow]The pair with replicated data needs what is not here:[/]")
        console.print("".join(f"  {lack}\n" for lack in lacks) + "So the story is told without data.")
    cluster = "replicated" if replicated else "demo"
    manifest = HERE / ("replicated.yaml" if replicated else "cluster.yaml")
    if any(lab["cluster"] == cluster for lab in json.loads(_labs())):
        console.print(f"A lab named {cluster} is up already. End it with: hsorch lab down {cluster}")
        return 1
    try:
        story(str(manifest), cluster, replicated=replicated)
    except KeyboardInterrupt:
        console.print("\nInterrupted.")
        return 130
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    finally:
        tell("Everything goes: processes, networks, disks.")
        run("lab", "down", cluster)
    return 0


def _labs() -> bytes:
    return subprocess.run(
        [HSORCH, "lab", "status", "--format", "json"], stdout=subprocess.PIPE, check=True
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
