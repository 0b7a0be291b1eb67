"""Semantic rules: one family per file, all listed here."""

from __future__ import annotations

from hsorch.manifest.rules import (
    addresses,
    group,
    links,
    policy,
    release,
    replication,
    secrets,
    servers,
    targets,
    timing,
    witness,
)
from hsorch.manifest.rules.table import Rule

RULES: tuple[Rule, ...] = (
    *servers.RULES,
    *addresses.RULES,
    *links.RULES,
    *timing.RULES,
    *witness.RULES,
    *group.RULES,
    *targets.RULES,
    *policy.RULES,
    *secrets.RULES,
    *replication.RULES,
    *release.RULES,
)
