"""Which door a manifest opens to each node; nothing connects before the first use."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsorch.cli.nodes import load_cluster, open_pair, open_transports
from hsorch.errors import AuthError, ManifestInvalid, UsageError
from hsorch.transport.lab import LabTransport
from hsorch.transport.local import LocalTransport
from hsorch.transport.ssh import SshTransport
from tests.unit.cli.pair import MANIFEST


def manifest(folder: Path, connect: str) -> Path:
    path = folder / "cluster.yaml"
    path.write_text(MANIFEST.replace("connect: {lab: {}}", f"connect: {connect}", 1))
    return path


@pytest.mark.parametrize(
    ("connect", "door"),
    [
        ("{lab: {}}", LabTransport),
        ("{local: {}}", LocalTransport),
        ("{ssh: {host: 192.0.2.1, user: ops, known_hosts: ./known_hosts}}", SshTransport),
    ],
)
def test_each_connect_opens_its_own_door(connect: str, door: type, tmp_path: Path) -> None:
    with open_transports(load_cluster(manifest(tmp_path, connect))) as doors:
        assert type(doors["a"]) is door
        assert list(doors) == ["a", "b"]


def test_a_key_that_the_environment_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLANT_KEY", raising=False)
    connect = "{ssh: {host: 192.0.2.1, user: ops, known_hosts: ./known_hosts, key: {env: PLANT_KEY}}}"
    cluster = load_cluster(manifest(tmp_path, connect))
    with pytest.raises(AuthError, match="PLANT_KEY") as caught, open_transports(cluster):
        pass
    assert caught.value.code == "HS930"


def test_a_faulty_manifest_opens_no_door(tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid) as caught:
        load_cluster(manifest(tmp_path, "{lab: {}, local: {}}"))
    assert "cluster.yaml:" in caught.value.detail


def test_a_manifest_and_here_contradict_each_other() -> None:
    with pytest.raises(UsageError) as caught, open_pair("cluster.yaml", here=True):
        pass
    assert caught.value.code == "HS906"
