"""Verbs by which a controller deploys a pair: facts, lock, membership, service. See hsorch.node.deploy."""
