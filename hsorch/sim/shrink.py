"""Makes a failing schedule as small as it gets while it still breaks the same invariant.

Delta debugging (Zeller and Hildebrandt 2002) on the list of faults, then each remaining detail is
made plainer: perfect clocks, instant disks, round times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from hsorch.sim.fault import Fault, Schedule

Breaks = Callable[[Schedule], bool]


def shrink(schedule: Schedule, breaks: Breaks) -> Schedule:
    """breaks(schedule) must be true; so it is of the result."""
    faults = ddmin(schedule.faults, lambda some: breaks(msgspec.structs.replace(schedule, faults=some)))
    small = msgspec.structs.replace(schedule, faults=faults)
    progress = True
    while progress:
        progress = False
        for plainer in _plainer(small):
            if breaks(plainer):
                small, progress = plainer, True
                break
    return small


def ddmin(items: tuple[Fault, ...], breaks: Callable[[tuple[Fault, ...]], bool]) -> tuple[Fault, ...]:
    """A subsequence that still breaks, and of which no single fault can be left out."""
    parts = 2
    while items:
        size = max(1, len(items) // parts)
        for start in range(0, len(items), size):
            rest = items[:start] + items[start + size :]
            if breaks(rest):
                items, parts = rest, max(2, parts - 1)
                break
        else:
            if size == 1:
                return items
            parts = min(len(items), 2 * parts)
    return items


def _plainer(schedule: Schedule) -> Iterator[Schedule]:
    replace = msgspec.structs.replace
    if schedule.rates != (0, 0):
        yield replace(schedule, rates=(0, 0))
    if schedule.disk_ms:
        yield replace(schedule, disk_ms=0)
    for index, fault in enumerate(schedule.faults):
        for plainer in _plainer_fault(fault):
            faults = (*schedule.faults[:index], plainer, *schedule.faults[index + 1 :])
            yield replace(schedule, faults=faults)


def _plainer_fault(fault: Fault) -> Iterator[Fault]:
    replace = msgspec.structs.replace
    for unit in (1000, 100):
        if fault.at % unit:
            yield replace(fault, at=fault.at // unit * unit)
        if fault.lasts > unit and fault.lasts % unit:
            yield replace(fault, lasts=fault.lasts // unit * unit)
