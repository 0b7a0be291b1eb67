"""Replication of bind paths: one write-ordered journal, its copy on the standby, and what keeps both honest.

A process of its own (replicator.py), apart from the agent: a file system that stalls must never stall a
heartbeat. Who may act is not decided here (hsorch.node.core); what the standby's data are worth is.
"""
