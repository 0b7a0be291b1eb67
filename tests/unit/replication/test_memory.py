"""What a node remembers of its folders is used as it was written, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.bound import Bound
from hsorch.node.replication.folders import Folders


def remember_volume(file: Path) -> None:
    Bound(file).change("/srv/app", volume="fsid 31cf07e0c7623cdf", follows=True)


def remember_set(file: Path) -> None:
    Folders(file).play((Binding(path="/srv/app", kind="ordered"),))


@pytest.mark.parametrize(("kind", "remember"), [(Bound, remember_volume), (Folders, remember_set)])
def test_any_flipped_bit_is_noticed(
    tmp_path: Path, kind: Callable[[Path], object], remember: Callable[[Path], None]
) -> None:
    file = tmp_path / "notes.json"
    remember(file)
    kind(file)
    whole = file.read_bytes()
    for at in range(len(whole)):
        for bit in range(8):
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            with pytest.raises(ValueError, match=r"notes\.json"):
                kind(file)
