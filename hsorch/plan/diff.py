"""Desired Spec against the committed one: the items of the pair, each with its impact from the schema.

Pure. What differs on a node itself (runtime, key, service) is nodes.py's.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from hsorch.manifest.impact import Impact, impact_of
from hsorch.plan.model import Action, Item
from hsorch.plan.words import Part, parts
from hsorch.spec import Spec

OUTAGE, OVERWRITE = Impact.OUTAGE.name.lower(), Impact.OVERWRITE.name.lower()


def diff_specs(before: Spec | None, after: Spec, *, group_in: bool, empty: bool = False) -> tuple[Item, ...]:
    """Items in the manifest's order, removals where the part stood, at the end.

    While the group is out nothing of it can be interrupted: `outage` is `live` then (REQ-H15).
    A first spec interrupts nothing at all. Data that begin to be replicated replace what the standby has
    there, in any case but that of nodes which are yet to be made (empty).
    """
    old, new = parts(before) if before else {}, parts(after)
    items: list[Item] = []
    for address, part in new.items():
        known = old.get(address)
        if known is None:
            items.append(_item(part, Action.ADD, after=part.title))
        elif known.kind != part.kind:
            items.append(_item(part, Action.REPLACE, before=known.title, after=part.title))
        else:
            items += _changed(known, part)
    items += [_removed(old[a]) for a in old if a not in new]
    if before is not None and not items and before != after:
        items += _order(before, after)
    if empty:
        return tuple(_live(item) for item in items)
    if before is None:
        return tuple(item if item.impact == OVERWRITE else _live(item) for item in items)
    return tuple(_live(item) if item.impact == OUTAGE and not group_in else item for item in items)


def _changed(old: Part, new: Part) -> Iterator[Item]:
    """A right that is taken back costs nothing."""
    for name in [*new.settings, *(n for n in old.settings if n not in new.settings)]:
        before, after = old.settings.get(name, ""), new.settings.get(name, "")
        if before == after:
            continue
        yield Item(
            address=f"{new.address}.{name}" if name else new.address,
            action=Action.CHANGE if before and after else Action.ADD if after else Action.REMOVE,
            before=before,
            after=after,
            impact=_impact(new.pointer_of(name)) if after != "false" else Impact.LIVE.name.lower(),
        )


def _order(before: Spec, after: Spec) -> Iterator[Item]:
    """Same parts in another start order: still another spec."""
    old, new = (" → ".join(r.name for r in spec.group.resources) for spec in (before, after))
    if old != new:
        address = f"group.{after.group.name}.order"
        yield Item(address=address, action=Action.CHANGE, before=old, after=new, impact=_impact("/group"))


def _item(part: Part, action: Action, before: str = "", after: str = "") -> Item:
    return Item(address=part.address, action=action, before=before, after=after, impact=_impact(part.pointer))


def _removed(part: Part) -> Item:
    """What is not replicated any more stays where it is, on both nodes."""
    item = _item(part, Action.REMOVE, before=part.title)
    return msgspec.structs.replace(item, impact=OUTAGE) if item.impact == OVERWRITE else item


def _impact(pointer: str) -> str:
    return impact_of(pointer).name.lower()


def _live(item: Item) -> Item:
    return Item(address=item.address, action=item.action, before=item.before, after=item.after)
