"""What is replicated: bindings of paths, their kinds, and the sets that a database needs whole.

Pure: names come in as arguments, nothing here looks at a disk. How a kind is replicated is the business of
`capture` (ordered) and `watched` (watched).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from hsorch.errors import HsorchError
from hsorch.spec import Wire

Kind = Literal["ordered", "watched"]
Preset = Literal["", "mariadb", "sqlite"]

STAGING = ".hsorch-staging"
"""Folder of half-done files below a watched root; never replicated."""

REFUSED = ("/", "/run", "/boot", "/etc", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/var")
REFUSED_TREES = ("/proc", "/sys", "/dev", "/var/lib/hsorch", "/run/hsorch")
"""Nothing in them, and nothing around them: a folder that holds the journal would replicate itself."""


class BindingError(HsorchError):
    """A binding that can't be replicated as it is written."""

    code = "HS670"


class Binding(Wire, frozen=True, kw_only=True):
    """One folder and what of it is replicated.

    path: absolute, the same on both nodes. include: globs relative to path; empty: everything. exclude wins.
    In a glob `*` stays inside one name, `**` crosses folders; a glob without `/` means a name at any depth,
    `./name` one in the folder itself.
    """

    path: str
    kind: Kind
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    preset: Preset = ""

    def covers(self, relative: str) -> bool:
        """Whether the file of this relative path is replicated. Folders on the way always are."""
        if relative == STAGING or relative.startswith(STAGING + "/"):
            return False
        if self.exclude and _any(self.exclude).match(relative):
            return False
        return not self.include or _any(self.include).match(relative) is not None

    def enters(self, folder: str) -> bool:
        """Whether anything below this relative folder may be replicated; then the folder itself is."""
        if folder == STAGING or (self.exclude and _any(self.exclude).match(folder)):
            return False
        return not self.include or any(_leads(glob, folder) for glob in self.include)


@dataclass(frozen=True)
class Finding:
    """What the plan shows beside a binding. A warning names the danger, not only the rule."""

    path: str
    message: str
    hint: str


@dataclass(frozen=True)
class Database:
    """What a database keeps beside its tables and can't start without after a crash."""

    title: str
    markers: tuple[str, ...]
    """A binding that covers one of these holds such a database."""
    companions: tuple[str, ...]
    """Must be covered by the same ordered group."""
    excluded: tuple[str, ...]
    """Rebuilt at each start, or of the running process only."""


# ddl_recovery.log: without it a crash inside ALTER or RENAME leaves tables half renamed (MariaDB >= 10.6).
# aria_log*: without them the Aria tables of mysql/ count as copied from another system.
MARIADB = Database(
    "MariaDB",
    markers=("ibdata1",),
    companions=(
        "ibdata1",
        "ib_logfile0",
        "undo001",
        "#innodb_redo/#ib_redo0",
        "ddl_recovery.log",
        "ddl_recovery-backup.log",
        "aria_log_control",
        "aria_log.00000001",
        "tc.log",
    ),
    excluded=("ibtmp*", "*.pid", "*.sock", "*.sock.lock", "#sql-temptable-*", "aria_tmp*"),
)
MARIADB_GLOBS = (
    "./ibdata*",
    "./ib_logfile*",
    "./undo0*",
    "#innodb_redo/**",
    "./ddl_recovery*.log",
    "./aria_log*",
    "./tc.log",
)
SQLITE_SUFFIXES = ("-wal", "-journal")
SQLITE_EXCLUDED = "*-shm"  # rebuilt from the log by the first process that opens the database
_SQLITE = re.compile(r"\.(db|db3|sqlite|sqlite3)$")


def resolve(bindings: Iterable[Binding]) -> tuple[tuple[Binding, ...], tuple[Finding, ...]]:
    """The bindings as they run: paths normal, presets written out, nested ones collapsed.

    A watched path below an ordered one joins the ordered group; an ordered path below a watched one is taken
    out of the watched tree. Raises BindingError (HS670 to HS672).
    """
    expanded = [expand(_normal(binding)) for binding in bindings]
    expanded.sort(key=lambda b: (PurePosixPath(b.path).parts, b.kind))
    kept: list[Binding] = []
    findings: list[Finding] = []
    for binding in expanded:
        above = next((b for b in kept if _below(binding.path, b.path)), None)
        if above is None:
            kept.append(binding)
        elif above.kind == "watched" and binding.kind == "ordered":
            kept[kept.index(above)] = _without(above, binding.path)
            kept.append(binding)
        else:
            kept[kept.index(above)] = _merged(above, binding)
            if above.kind != binding.kind:
                findings.append(
                    Finding(
                        binding.path,
                        f"{binding.path} is watched, but lies in the ordered {above.path} and joins it",
                        "Leave it out, or bind it as ordered.",
                    )
                )
    return tuple(kept), tuple(findings)


def expand(binding: Binding) -> Binding:
    """The preset written out as globs."""
    if binding.preset == "mariadb":
        include = (*binding.include, *MARIADB_GLOBS) if binding.include else ()
        return _replace(binding, include, (*binding.exclude, *MARIADB.excluded))
    if binding.preset == "sqlite":
        extra = [name + suffix for name in binding.include for suffix in SQLITE_SUFFIXES]
        return _replace(binding, (*binding.include, *extra), (*binding.exclude, SQLITE_EXCLUDED))
    return binding


def as_file(binding: Binding) -> Binding:
    """A binding of one file: its folder, filtered to that name (and what the preset adds)."""
    path = PurePosixPath(binding.path)
    return _replace(binding, (f"./{path.name}",), binding.exclude, str(path.parent))


def incomplete(bindings: Iterable[Binding], names: dict[str, tuple[str, ...]]) -> tuple[Finding, ...]:
    """Database sets that are cut or unordered. names: per binding path, the relative names on the disk.

    Judged by what is there: companions that do not exist yet count when a server would create them.
    """
    found: list[Finding] = []
    for binding in bindings:
        here = names.get(binding.path, ())
        covered = [name for name in here if binding.covers(name)]
        marked = [name for name in covered if PurePosixPath(name).name in MARIADB.markers]
        for marker in marked:
            found += _mariadb_gaps(binding, str(PurePosixPath(marker).parent), here)
        found += _sqlite_gaps(binding, covered)
    return tuple(found)


def _mariadb_gaps(binding: Binding, folder: str, here: tuple[str, ...]) -> list[Finding]:
    prefix = "" if folder == "." else folder + "/"
    if binding.kind == "watched":
        return [_unordered(binding, f"MariaDB in {prefix or 'it'}")]
    wanted = [*MARIADB.companions, *(n.removeprefix(prefix) for n in here if _is_log(n.removeprefix(prefix)))]
    gaps = sorted({name for name in wanted if not binding.covers(prefix + name)})
    if not gaps:
        return []
    return [
        Finding(
            binding.path,
            f"MariaDB in {binding.path} is bound without {', '.join(gaps)}: after a crash of the active "
            "server it may not start on the standby",
            "Add `preset: mariadb` to this binding.",
        )
    ]


def _is_log(name: str) -> bool:
    return name.startswith(("ib_logfile", "undo0", "aria_log", "ddl_recovery", "#innodb_redo/"))


def _sqlite_gaps(binding: Binding, covered: list[str]) -> list[Finding]:
    found = []
    for name in covered:
        if not _SQLITE.search(name):
            continue
        if binding.kind == "watched":
            found.append(_unordered(binding, f"the SQLite file {name}"))
        elif gaps := [name + s for s in SQLITE_SUFFIXES if not binding.covers(name + s)]:
            found.append(
                Finding(
                    binding.path,
                    f"{name} is bound without {', '.join(gaps)}: its last transactions are there",
                    "Add `preset: sqlite` to this binding.",
                )
            )
    return found


def _unordered(binding: Binding, what: str) -> Finding:
    return Finding(
        binding.path,
        f"{what} is bound as watched: copied file by file, it is likely to be corrupt after a crash",
        "Bind it as `kind: ordered`.",
    )


def _normal(binding: Binding) -> Binding:
    path = PurePosixPath(binding.path)
    if not path.is_absolute() or ".." in path.parts or "\0" in binding.path:
        raise BindingError(
            f"binding {binding.path!r} is not an absolute path", hint="Write the path from the root."
        )
    text = "/" + "/".join(path.parts[1:])
    if text in REFUSED or any(_below(text, tree) or _below(tree, text) for tree in REFUSED_TREES):
        raise BindingError(
            f"binding {text} is a drive root or belongs to the system",
            hint="Bind the application's own folders below it.",
            code="HS671",
        )
    for glob in (*binding.include, *binding.exclude):
        if not glob or glob.startswith("/") or ".." in glob.split("/"):
            raise BindingError(
                f"glob {glob!r} of binding {text} leaves its folder",
                hint="Write globs relative to the bound folder.",
                code="HS672",
            )
    return _replace(binding, binding.include, binding.exclude, text)


def _merged(above: Binding, inner: Binding) -> Binding:
    """The upper binding, widened by what the inner one takes."""
    prefix = inner.path.removeprefix(above.path).strip("/")
    joined = [_joined(prefix, glob) for glob in inner.include] if inner.include else [_tree(prefix)]
    include = (*above.include, *joined) if above.include else ()
    exclude = (*above.exclude, *(_joined(prefix, glob) for glob in inner.exclude))
    return _replace(above, include, exclude)


def _without(above: Binding, path: str) -> Binding:
    prefix = path.removeprefix(above.path).strip("/")
    return _replace(above, above.include, (*above.exclude, prefix, f"{prefix}/**"))


def _joined(prefix: str, glob: str) -> str:
    if not prefix:
        return glob
    return f"{prefix}/{glob.removeprefix('./')}" if "/" in glob else f"{prefix}/**/{glob}"


def _tree(prefix: str) -> str:
    return f"{prefix}/**" if prefix else "**"


def _replace(
    binding: Binding, include: tuple[str, ...], exclude: tuple[str, ...], path: str | None = None
) -> Binding:
    return Binding(
        path=binding.path if path is None else path,
        kind=binding.kind,
        include=tuple(dict.fromkeys(include)),
        exclude=tuple(dict.fromkeys(exclude)),
        preset=binding.preset,
    )


def _below(path: str, above: str) -> bool:
    return path == above or path.startswith(above.rstrip("/") + "/")


@functools.lru_cache(maxsize=1024)
def _any(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{_regex(glob)})" for glob in globs), re.DOTALL)


@functools.lru_cache(maxsize=65536)
def _leads(glob: str, folder: str) -> bool:
    """Whether the glob can match something below the folder."""
    steps = (glob.removeprefix("./") if "/" in glob or glob == "**" else f"**/{glob}").split("/")
    parts = folder.split("/")
    for step, part in zip(steps, parts, strict=False):
        if step == "**":
            return True
        if not re.match(_regex(f"./{step}"), part, re.DOTALL):
            return False
    return len(steps) > len(parts)


def _regex(glob: str) -> str:
    """Anchored at both ends. `a/**` means all below a; `a/**/b` also a/b."""
    text = glob.removeprefix("./") if "/" in glob or glob == "**" else f"**/{glob}"
    out = ""
    for piece in re.split(r"(\*\*/|/\*\*$|\*\*|\*|\?)", text):
        out += {
            "**/": "(?:[^/]+/)*",
            "/**": "/.+",
            "**": ".*",
            "*": "[^/]*",
            "?": "[^/]",
        }.get(piece, re.escape(piece))
    return out + r"\Z"
