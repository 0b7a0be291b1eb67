"""Rules on the two servers: how many, their names, the way to them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from hsorch.manifest.diagnostics import Severity
from hsorch.manifest.model import LabConnect, LocalConnect, SshConnect
from hsorch.manifest.rules.table import Finding, Rule, Scene, key, value

NETBIOS = 15
"""Characters of a host name that Windows networks tell apart (REQ-A04)."""


def two_servers(scene: Scene) -> Iterator[Finding]:
    """REQ-B01."""
    count = len(scene.cluster.servers)
    if count != 2:
        message = f"{count} server{'' if count == 1 else 's'}: a pair has exactly two"
        yield Finding(at=key("servers"), message=message, hint="name the active and the standby server")


def names_differ(scene: Scene) -> Iterator[Finding]:
    """REQ-A04: also when case is ignored and when cut to 15 characters."""
    seen: dict[str, str] = {}
    for server in scene.cluster.servers:
        short = server.name.casefold()[:NETBIOS]
        if short in seen:
            first = seen[short]
            message = f"`{server.name}` and `{first}` are one name to a Windows network"
            hint = f"rename one: names must differ in their first {NETBIOS} characters, whatever the case"
            related = ((key("servers", first), "the other name"),)
            yield Finding(at=key("servers", server.name), message=message, hint=hint, related=related)
        seen.setdefault(short, server.name)


def preferred_exists(scene: Scene) -> Iterator[Finding]:
    """REQ-B02."""
    yield from _known(scene, scene.cluster.preferred, "preferred")


def on_conflict_exists(scene: Scene) -> Iterator[Finding]:
    """REQ-G09."""
    if scene.data.get("policy", {}).get("on_conflict", "preferred") != "preferred":
        yield from _known(scene, scene.cluster.policy.on_conflict, "policy", "on_conflict")


def _known(scene: Scene, name: str, *path: str) -> Iterator[Finding]:
    names = [server.name for server in scene.cluster.servers]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"write one of: {', '.join(names)}"
        message = f"`{name}` is not a server of this manifest"
        yield Finding(at=value(*path), message=message, hint=hint, fix=near[0] if near else "")


def aliases_differ(scene: Scene) -> Iterator[Finding]:
    """An alias must not make an operator mean the wrong server."""
    taken = {server.name.casefold(): key("servers", server.name) for server in scene.cluster.servers}
    for server in scene.cluster.servers:
        alias = server.alias.casefold()
        place = value("servers", server.name, "alias")
        if alias and alias in taken and taken[alias] != key("servers", server.name):
            message = f"alias `{server.alias}` already means another server"
            related = ((taken[alias], "taken here"),)
            yield Finding(at=place, message=message, hint="give each server its own alias", related=related)
        elif alias:
            taken.setdefault(alias, place)


def connects_fit(scene: Scene) -> Iterator[Finding]:
    """A lab has both nodes or none; the controller can be only one of the servers."""
    written = {name: raw["connect"] for name, raw in scene.data["servers"].items()}
    servers = [s for s in scene.cluster.servers if "winrm" not in written[s.name]]
    in_lab = [s for s in servers if isinstance(s.connect, LabConnect)]
    local = [s for s in servers if isinstance(s.connect, LocalConnect)]
    if in_lab and len(in_lab) < len(servers):
        odd = next(s for s in servers if s not in in_lab)
        message = f"`{odd.name}` is outside the lab that `{in_lab[0].name}` is in"
        hint = "connect both servers by lab, or neither"
        related = ((value("servers", in_lab[0].name, "connect"), "in the lab"),)
        yield Finding(at=value("servers", odd.name, "connect"), message=message, hint=hint, related=related)
    if len(local) > 1:
        message = "both servers are the machine hsorch runs on"
        place = value("servers", local[1].name, "connect")
        yield Finding(at=place, message=message, hint="reach the other one by ssh")


def doors_differ(scene: Scene) -> Iterator[Finding]:
    """REQ-B05: two servers behind one door are one server."""
    seen: dict[tuple[str, int], str] = {}
    for server in scene.cluster.servers:
        if isinstance(server.connect, SshConnect):
            door = (server.connect.host.casefold(), server.connect.port)
            if door in seen:
                message = f"`{server.name}` and `{seen[door]}` are both reached at {door[0]}:{door[1]}"
                place = value("servers", server.name, "connect", "ssh", "host")
                related = ((value("servers", seen[door], "connect", "ssh", "host"), "the same door"),)
                hint = "give each server its own host or port"
                yield Finding(at=place, message=message, hint=hint, related=related)
            seen.setdefault(door, server.name)


RULES = (
    Rule("HS301", Severity.ERROR, ("servers",), two_servers),
    Rule("HS302", Severity.ERROR, ("servers",), names_differ),
    Rule("HS303", Severity.ERROR, ("servers", "preferred"), preferred_exists),
    Rule("HS304", Severity.ERROR, ("servers",), aliases_differ),
    Rule("HS305", Severity.ERROR, ("servers",), connects_fit),
    Rule("HS306", Severity.ERROR, ("servers",), doors_differ),
    Rule("HS307", Severity.ERROR, ("servers", "policy", "preferred"), on_conflict_exists),
)
