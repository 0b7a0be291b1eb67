"""Witness on a shared directory (NFS, SMB or anything else that both nodes mount)."""

from __future__ import annotations

from pathlib import Path

from hsorch.node.core.types import NodeName
from hsorch.node.witness.base import Answer
from hsorch.node.witness.directory import Directory


class ShareRegister:
    """limit_s is not kept here: a hanging mount blocks its thread, and the agent stops waiting for it."""

    def __init__(self, path: Path, cluster_id: str) -> None:
        self._directory = Directory(path, cluster_id)

    def create(self, major: int, node: NodeName, limit_s: float) -> Answer:
        return self._directory.create(major, node)

    def read(self, major: int, limit_s: float) -> Answer:
        return self._directory.read(major)
