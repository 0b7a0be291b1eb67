"""From the spec's witness to the register that asks it. Imports only the kind that is used."""

from __future__ import annotations

from pathlib import Path

from hsorch.node.paths import Paths
from hsorch.node.system.base import System
from hsorch.node.witness.base import Register
from hsorch.spec import HttpWitness, Identity, IsolationWitness, ShareWitness, Spec


def open_register(spec: Spec, identity: Identity, paths: Paths, system: System) -> Register | None:
    """None: the pair has no witness. Raises NodeError HS620 when its token or CA cannot be used."""
    witness = spec.witness
    if isinstance(witness, ShareWitness):
        from hsorch.node.witness.share import ShareRegister

        return ShareRegister(Path(witness.path), identity.cluster_id)
    if isinstance(witness, HttpWitness):
        from hsorch.node.witness.client import HttpRegister

        return HttpRegister(witness, identity.cluster_id)
    if isinstance(witness, IsolationWitness):
        from hsorch.node.witness.isolation import IsolationRegister

        return IsolationRegister(spec, identity.node, paths.var, identity.cluster_id, system)
    return None
