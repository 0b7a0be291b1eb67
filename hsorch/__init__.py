"""hsorch: a hot-standby pair from one file."""

__version__ = "0.1.0"
WIRE = 1
"""Version of spec, heartbeat and control messages. Nodes refuse another wire version."""
