"""What a client of the pair sees: a new connection and request each few milliseconds, every answer noted.

Runs on the lab's client machine (`python3 -m hsorch.lab.client`), says when it has begun and prints one
Report as JSON when its time is over or its stdin is closed. Started and read by probe.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from itertools import pairwise
from urllib.parse import urlsplit

import msgspec

from hsorch.lab.arp import ArpWatch

INTERVAL_S = 0.010
LIMIT_S = 0.25
"""A request that has no answer after this time has failed; meanwhile others are on their way."""
BEGUN = "begun"
"""First line of output: from here on the report tells all."""
GAP_MS = 50.0
"""Shorter gaps than this are not listed."""


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Answers in a row by one node. Times in ms since the probe began."""

    node: str
    first_ms: float
    last_ms: float
    answers: int


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """No answer arrived in this time: from one answer to the next."""

    start_ms: float
    length_ms: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    sent: int
    answered: int
    failed: int
    longest_gap_ms: float
    """The measured downtime; about the interval when there was none."""
    gaps: tuple[Gap, ...]
    stretches: tuple[Stretch, ...]
    doubles: int = 0
    """ARP questions for the address that two machines answered (arp.py): never anything but 0."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Who answered, in order."""
        return tuple(stretch.node for stretch in self.stretches)

    def summary(self) -> str:
        lines = [
            f"{self.answered} of {self.sent} requests answered, longest gap {self.longest_gap_ms:.0f} ms"
        ]
        lines += [
            f"  {s.node or '?':<16}{s.first_ms / 1000:7.2f} to{s.last_ms / 1000:7.2f} s{s.answers:8} answers"
            for s in self.stretches
        ]
        lines += [
            f"  no answer for {g.length_ms:.0f} ms from {g.start_ms / 1000:.2f} s on" for g in self.gaps
        ]
        if self.doubles:
            lines.append(f"  TWO machines answered for the address, {self.doubles} times")
        return "\n".join(lines)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    at_ms: float
    node: str


class _Body(msgspec.Struct, frozen=True):
    """The part of the application's answer that matters here."""

    node: str = ""


def report_of(answers: list[Answer], *, sent: int, length_ms: float, doubles: int = 0) -> Report:
    """Pure. The time before the first answer and after the last one count as gaps too."""
    answers = sorted(answers, key=lambda answer: answer.at_ms)
    marks = [0.0, *(answer.at_ms for answer in answers), length_ms]
    gaps = [Gap(start_ms=a, length_ms=b - a) for a, b in pairwise(marks)]
    stretches: list[Stretch] = []
    for answer in answers:
        last = stretches.pop() if stretches and stretches[-1].node == answer.node else None
        stretches.append(
            Stretch(
                node=answer.node,
                first_ms=last.first_ms if last else answer.at_ms,
                last_ms=answer.at_ms,
                answers=last.answers + 1 if last else 1,
            )
        )
    return Report(
        sent=sent,
        answered=len(answers),
        failed=sent - len(answers),
        longest_gap_ms=max(gap.length_ms for gap in gaps),
        gaps=tuple(gap for gap in gaps if gap.length_ms >= GAP_MS),
        stretches=tuple(stretches),
        doubles=doubles,
    )


async def measure(url: str, duration_s: float) -> Report:
    """Ask until the time is over or stdin ends."""
    parts = urlsplit(url)
    host, port, path = parts.hostname or "", parts.port or 80, parts.path or "/"
    request = f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode()
    answers: list[Answer] = []
    running: set[asyncio.Task[None]] = set()
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, over.set)
    sys.stdout.write(f"{BEGUN}\n")
    sys.stdout.flush()
    begin = time.monotonic()

    async def ask() -> None:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(LIMIT_S):
                node = await _ask(host, port, request)
                answers.append(Answer(at_ms=(time.monotonic() - begin) * 1000, node=node))

    watch = ArpWatch(host) if host.count(".") == 3 else None
    sent = 0
    while not over.is_set() and time.monotonic() - begin < duration_s:
        task = asyncio.create_task(ask())
        running.add(task)
        task.add_done_callback(running.discard)
        sent += 1
        if watch is not None:
            watch.ask()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), max(0.0, begin + sent * INTERVAL_S - time.monotonic()))
    length_ms = (time.monotonic() - begin) * 1000
    # A request that is cut off by the end has neither failed nor been answered.
    cut_off = [task for task in running if not task.done()]
    for task in cut_off:
        task.cancel()
    doubles = watch.doubles if watch is not None else 0
    return report_of(answers, sent=sent - len(cut_off), length_ms=length_ms, doubles=doubles)


async def _ask(host: str, port: int, request: bytes) -> str:
    """Node that answered with 200; empty: an application that does not tell. OSError for any other answer."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    if head.split(b" ")[1:2] != [b"200"]:
        raise ConnectionError("no 200")
    try:
        return msgspec.json.decode(body, type=_Body).node
    except msgspec.DecodeError:
        return ""


def main() -> int:
    _, url, duration = sys.argv
    report = asyncio.run(measure(url, float(duration)))
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
