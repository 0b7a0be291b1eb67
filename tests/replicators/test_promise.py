"""What the standby was told, that it is complete, binds its source for as long as it may believe so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.replicators.members import Link, Member, count, free_port, protected, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(150)]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Member, Member, Link]]:
    """a is the source of b, and b is complete."""
    a, b, port = Member(tmp_path, "a", "127.0.0.1"), Member(tmp_path, "b", "127.0.0.2"), free_port()
    link = Link("127.0.0.3", port, "127.0.0.2")
    a.enroll(b, "durable", port, via="127.0.0.3")
    b.enroll(a, "durable", port)
    a.start()
    b.start()
    try:
        b.ask("role", role="target")
        a.ask("role", role="source")
        until(lambda: protected(a, b) and bool(b.ask("status")["guarded"]))
        yield a, b, link
    finally:
        link.close()
        a.end()
        b.end()


def test_a_source_that_got_its_group_back_unheard_waits_for_its_standby(
    pair: tuple[Member, Member, Link],
) -> None:
    """b was to become the source and could not; it never learned that it was asked."""
    a, b, link = pair
    link.cut()
    a.ask("role", role="none")
    a.ask("role", role="target")
    a.ask("role", role="source")
    assert b.ask("status")["guarded"]
    application = count(a, 0, 5)
    until(lambda: a.ask("status")["frozen"] > 0)
    link.mend()
    assert application.wait(60) == 0
    until(lambda: protected(a, b))
