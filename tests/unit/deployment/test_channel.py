"""Two nodes come to trust each other on the data channel, and nobody else."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from hsorch.errors import NodeError
from hsorch.node.deployment import channel, membership
from hsorch.node.deployment.wire import Enroll, Leave, Pin, ShowCertificate
from hsorch.node.paths import Paths
from hsorch.spec import Identity


def node(root: Path, name: str) -> Paths:
    paths = Paths("demo", root / name)
    identity = Identity(cluster="demo", cluster_id="c" * 32, node=name)
    membership.enroll(paths, Enroll(cluster="demo", identity=identity, key="ab" * 32))
    return paths


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Paths, Paths]:
    return node(tmp_path, "node-a"), node(tmp_path, "node-b")


def show(paths: Paths) -> str:
    return channel.show(paths, ShowCertificate(cluster="demo")).pem


def test_each_node_shows_its_one_certificate_and_its_key_to_nobody(pair: tuple[Paths, Paths]) -> None:
    first, second = pair
    assert show(first) == show(first) != show(second)
    assert "PRIVATE" not in show(first)
    assert stat.S_IMODE(first.channel_key.stat().st_mode) == 0o600


def test_what_is_pinned_is_seen_as_the_peers_own(pair: tuple[Paths, Paths]) -> None:
    first, second = pair
    order = Pin(cluster="demo", pem=show(second))
    assert [channel.pin(first, order).changed for _ in range(2)] == [True, False]
    trusted, own = channel.fingerprint(first.channel_peer), channel.fingerprint(second.channel_certificate)
    assert trusted == own != ""


def test_nothing_but_a_certificate_is_pinned(pair: tuple[Paths, Paths]) -> None:
    with pytest.raises(NodeError) as caught:
        channel.pin(pair[0], Pin(cluster="demo", pem="hello"))
    assert caught.value.code == "HS443"
    assert not pair[0].channel_peer.exists()


def test_a_node_that_leaves_takes_its_keys_along(pair: tuple[Paths, Paths]) -> None:
    show(pair[0])
    pair[0].runtimes.mkdir()
    membership.leave(pair[0], Leave(cluster="demo"))
    assert not pair[0].replication.exists()
