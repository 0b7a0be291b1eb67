"""Durations, rates and sizes: text with a unit ↔ whole milliseconds or bytes. The schema checks the form."""

from __future__ import annotations

import re
from decimal import Decimal

_MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_BYTES = {
    "B": 1,
    **{f"{prefix}iB": 1 << 10 * power for power, prefix in enumerate("KMGT", start=1)},
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("kMGT", start=1)},
}
_SIZE = re.compile(r"([0-9.]+)(B|[KMGT]iB|[kMGT]B)")
_DURATION = re.compile(r"([0-9.]+)(ms|s|m|h|d)")


def milliseconds(text: str) -> int:
    """`1.5s` → 1500. Less than a millisecond is rounded up, so that a wait never becomes none."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"not a duration: {text}")
    exact = Decimal(match[1]) * _MILLISECONDS[match[2]]
    return int(exact.to_integral_value(rounding="ROUND_CEILING"))


def size(text: str) -> int:
    """`5GiB` → 5368709120. Bytes, rounded up."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"not a size: {text}")
    exact = Decimal(match[1]) * _BYTES[match[2]]
    return int(exact.to_integral_value(rounding="ROUND_CEILING"))


def rate(text: str) -> tuple[int, int]:
    """`3 per 1h` → (3, 3600000)."""
    count, _, window = text.partition(" per ")
    return int(count), milliseconds(window)


def shown(duration: int) -> str:
    """1500 → `1.5s`, 300 → `300ms`: the way people write it."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000)):
        if duration and duration % size == 0:
            return f"{duration // size}{unit}"
    return f"{duration / 1000:g}s" if duration >= 1_000 else f"{duration}ms"
