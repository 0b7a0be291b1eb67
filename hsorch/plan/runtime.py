"""The runtime that apply installs: hsorch's node side and the few packages it needs, named by its content."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import sysconfig
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import hsorch
from hsorch.errors import HsorchError

MODULES = ("__init__.py", "errors.py", "spec.py", "verbs.py")
PACKAGES = ("msgspec", "mfusepy", "xxhash")


@dataclass(frozen=True, slots=True)
class Runtime:
    """name: `<version>-<digest>`; the same sources give the same name on every machine of one platform."""

    name: str
    sha256: str
    bundle: bytes
    extensions: str
    """Suffix of binary modules: the node's Python must have the same (CPython version, platform)."""


@cache
def build() -> Runtime:
    """Bundle this installation's node side. Reads about 80 files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in sorted(_members()):
            archive.addfile(*_entry(name, path))
    bundle = buffer.getvalue()
    sha256 = hashlib.sha256(bundle).hexdigest()
    extensions = str(sysconfig.get_config_var("EXT_SUFFIX"))
    return Runtime(f"{hsorch.__version__}-{sha256[:12]}", sha256, bundle, extensions)


def _members() -> Iterator[tuple[str, Path]]:
    package = Path(hsorch.__file__).parent
    for module in MODULES:
        yield f"hsorch/{module}", package / module
    yield from _tree("hsorch/node", package / "node", (".py",))
    for name in PACKAGES:
        yield from _package(name)


def _package(name: str) -> Iterator[tuple[str, Path]]:
    """A package or a single module, as it is installed here; without its own tests."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise HsorchError(
            f"the package {name} is missing here, and the nodes need it",
            hint="install hsorch with all it depends on: pip install hsorch",
            code="HS444",
        )
    origin = Path(found.origin)
    if found.submodule_search_locations is None:
        yield origin.name, origin
    else:
        yield from _tree(name, origin.parent, (".py", ".so", ".pyd"))


def _tree(prefix: str, folder: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*"):
        if path.suffix in suffixes and path.is_file():
            yield f"{prefix}/{path.relative_to(folder).as_posix()}", path


def _entry(name: str, path: Path) -> tuple[tarfile.TarInfo, io.BytesIO]:
    """Owner, times and modes are fixed: only content makes the digest."""
    content = path.read_bytes()
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mode = 0o755 if path.suffix == ".so" else 0o644
    return info, io.BytesIO(content)
