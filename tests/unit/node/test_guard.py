"""The guard fences whatever else hangs."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from hsorch.node import clock
from hsorch.node import guard as guarding
from hsorch.node.paths import Paths
from hsorch.spec import Identity, Spec, encode


@pytest.fixture
def paths(tmp_path: Path, spec: Spec) -> Paths:
    found = Paths("plant", tmp_path)
    found.var.mkdir(parents=True)
    found.run.mkdir(parents=True)
    found.identity.write_bytes(encode(Identity(cluster="plant", cluster_id="c" * 32, node="a")))
    found.spec.write_bytes(encode(spec))
    return found


class Stuck:
    """A journal that takes nothing any more."""

    def write(self, text: str) -> int:
        threading.Event().wait()
        return len(text)

    def flush(self) -> None:
        """Never reached."""


def test_a_guard_fences_although_disk_and_journal_hang(
    paths: Paths, spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    fenced: list[Spec | None] = []
    done = threading.Event()

    def fence(**order: Any) -> tuple[bool, str]:
        fenced.append(order["spec"])
        done.set()
        return True, "all off"

    monkeypatch.setattr(guarding, "fence", fence)
    watchdog = guarding.Guard(paths, cast(Any, None))
    watchdog._read_spec()
    paths.spec.unlink()
    os.mkfifo(paths.spec)  # whoever opens it hangs
    monkeypatch.setattr(sys, "stderr", Stuck())
    threading.Thread(target=watchdog._fire, args=("the lease ran out",), daemon=True).start()
    assert done.wait(10)
    assert fenced == [spec]


def test_a_new_spec_is_noticed_and_a_torn_one_does_not_replace_it(paths: Paths, spec: Spec) -> None:
    watchdog = guarding.Guard(paths, cast(Any, None))
    watchdog._read_spec()
    newer = msgspec.structs.replace(spec, revision=spec.revision + 1)
    for content, mtime in ((encode(newer), 1), (b"torn", 2)):
        paths.spec.write_bytes(content)
        os.utime(paths.spec, (mtime, mtime))
        watchdog._read_spec()
    assert watchdog._spec == newer


def test_a_guard_at_rest_looks_again_before_a_lease_could_begin_and_end(paths: Paths, spec: Spec) -> None:
    policy = msgspec.structs.replace(spec.policy, lease_ms=100)
    paths.spec.write_bytes(encode(msgspec.structs.replace(spec, policy=policy)))
    watchdog = guarding.Guard(paths, cast(Any, None))
    watchdog._read_spec()
    watchdog._start_at = now = 10 * clock.SECOND
    assert watchdog._wake_at(now - clock.SECOND) <= now - clock.SECOND + 50 * clock.MILLISECOND
    watchdog._watch.until = now - clock.MILLISECOND
    assert watchdog._wake_at(now - 20 * clock.MILLISECOND) == now - clock.MILLISECOND
