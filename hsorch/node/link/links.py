"""All links of a node: one beat out on each, authentic beats of the peer in. No timers of its own.

The agent calls `send` when the core says so, `read` when a socket is readable and `repair` now and then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from hsorch.node.core.shown import LinkStat
from hsorch.node.core.types import Beat, Event, Received, Rejected
from hsorch.node.link.frame import Opened, Reason, Sealer, encode_body
from hsorch.node.link.stats import LinkStats
from hsorch.node.link.udp import Ends, LinkSocket
from hsorch.spec import Link, Spec
from hsorch.verbs import LinkReport

REPEAT_REJECTION_NS = 10_000_000_000
"""The same reason on the same link is told again only after this long."""


class _End:
    """This node's end of one link."""

    def __init__(self, link: Link, ends: Ends, sealer: Sealer) -> None:
        self.name = link.name
        self.patience_ms = link.interval_ms * (link.max_missed + 1)
        self.socket = LinkSocket(ends)
        self.sealer = sealer
        self.stats = LinkStats()
        self.told: dict[Reason, int] = {}
        self.port_told = False

    def up(self, now: int) -> bool:
        return 0 <= self.stats.age_ms(now) <= self.patience_ms


class Links:
    """Links of `me` as the spec says. key: 32 bytes, cluster_id: 32 hex digits (else ValueError)."""

    def __init__(self, spec: Spec, me: str, cluster_id: str, key: bytes) -> None:
        self._peer = spec.peer_of(me).name
        self._ends = {
            link.name: _End(link, ends_of(spec, me, link), Sealer(cluster_id, link.name, key))
            for link in spec.links
        }

    def repair(self) -> Iterator[str]:
        """Open what is closed; yields the names of the links that were opened now."""
        for name, end in self._ends.items():
            if end.socket.repair():
                yield name

    def descriptors(self) -> dict[str, int]:
        """Open sockets by link name."""
        return {n: e.socket.descriptor for n, e in self._ends.items() if e.socket.descriptor >= 0}

    def newly_taken_ports(self) -> Iterator[Ends]:
        """Links whose port another program holds, each told once until it is free again."""
        for end in self._ends.values():
            if end.socket.port_taken and not end.port_told:
                yield end.socket.ends
            end.port_told = end.socket.port_taken

    def send(self, beat: Beat, names: tuple[str, ...], clock: Callable[[], int]) -> None:
        """On the named links, or on all."""
        now = clock()
        body = encode_body(msgspec.structs.replace(beat, links=self.stats(now)))
        for name in names or self._ends:
            end = self._ends.get(name)
            if end is not None:
                end.socket.send(end.sealer.seal(body, end.stats.times(clock())))

    def read(self, name: str, clock: Callable[[], int]) -> Iterator[Event]:
        """What waits on one link, as the core's events."""
        end = self._ends[name]
        for frame in end.socket.receive():
            now = clock()
            opened = end.sealer.open(frame)
            reason = self._why_not(opened)
            if isinstance(opened, Opened) and reason is None:
                beat = opened.beat
                if end.stats.accept(beat.incarnation, beat.seq, opened.times, now):
                    yield Received(link=name, beat=beat)
                continue
            assert reason is not None
            end.stats.rejected[reason] += 1
            if now - end.told.get(reason, -REPEAT_REJECTION_NS) >= REPEAT_REJECTION_NS:
                end.told[reason] = now
                yield Rejected(link=name, why=reason)

    def stats(self, now: int) -> tuple[LinkStat, ...]:
        return tuple(
            LinkStat(
                name=name,
                up=end.up(now),
                received=end.stats.received,
                lost=end.stats.lost,
                rejected=end.stats.rejected.total(),
                rtt_us=end.stats.rtt_us,
            )
            for name, end in self._ends.items()
        )

    def report(self, now: int) -> tuple[LinkReport, ...]:
        return tuple(
            LinkReport(
                name=stat.name,
                local=f"{end.socket.ends.local}:{end.socket.ends.port}",
                remote=f"{end.socket.ends.remote}:{end.socket.ends.port}",
                up=stat.up,
                received=stat.received,
                lost=stat.lost,
                rejected=stat.rejected,
                rtt_us=stat.rtt_us,
                age_ms=end.stats.age_ms(now),
                error=end.socket.error,
            )
            for stat, end in zip(self.stats(now), self._ends.values(), strict=True)
        )

    def close(self) -> None:
        for end in self._ends.values():
            end.socket.close()

    def _why_not(self, opened: Opened | Reason) -> Reason | None:
        if isinstance(opened, Reason):
            return opened
        return None if opened.beat.sender == self._peer else Reason.STRANGER


def ends_of(spec: Spec, me: str, link: Link) -> Ends:
    mine, theirs = spec.node(me).nics[link.nic], spec.peer_of(me).nics[link.nic]
    return Ends(
        device=mine.name,
        local=_plain(mine.address),
        remote=_plain(theirs.address),
        port=link.port,
    )


def _plain(cidr: str) -> str:
    return cidr.partition("/")[0]
