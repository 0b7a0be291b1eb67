"""The client on the service network: when it was served, by whom, and its outages."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Client:
    """Told of every change of the one node that serves the virtual address ('' when none does)."""

    served_by: str = ""
    since: int = 0
    """Real time at which served_by became so."""
    outages: list[tuple[int, int]] = field(default_factory=list)
    """Ended gaps as (begin, end), real nanoseconds; the gap before the first service is not one."""
    _started: bool = False

    def serving(self, now: int, name: str) -> None:
        if name == self.served_by:
            return
        if name and not self.served_by and self._started and now > self.since:
            self.outages.append((self.since, now))
        self._started = self._started or bool(name)
        self.served_by, self.since = name, now

    def longest_outage(self, now: int, after: int = 0) -> int:
        """Longest gap that ended (or still lasts) after `after`, in nanoseconds."""
        gaps = [end - max(begin, after) for begin, end in self.outages if end > after]
        if not self.served_by and self._started:
            gaps.append(now - max(self.since, after))
        return max(gaps, default=0)
