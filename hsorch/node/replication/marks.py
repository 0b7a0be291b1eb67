"""What a BARRIER record says beside its place in the order (its aux): what flushes before it were worth."""

from __future__ import annotations

GUARDED = 1
"""From here on no flush is answered without the standby, and it holds all that were answered before."""
UNGUARDED = 2
"""From here on flushes are answered without it."""
RELEASED = 3
"""The source let go in order: nothing follows in its name."""
