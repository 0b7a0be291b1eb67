"""hsorch: a hot-standby pair from one file."""

__version__ = "0.1.0"
