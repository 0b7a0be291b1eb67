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

BY_SSH = "{ssh: {host: 192.0.2.2, user: ops, known_hosts: ./known_hosts}}"


def manifest(folder: Path, connect: str, other: str = BY_SSH) -> Path:
    """plant-7 with these two connects."""
    first, second, third = MANIFEST.split("connect: {lab: {}}")
    path = folder / "cluster.yaml"
    path.write_text(f"{first}connect: {connect}{second}connect: {other}{third}")
    return path


@pytest.mark.parametrize(
    ("connect", "other", "door"),
    [
        ("{lab: {}}", "{lab: {}}", LabTransport),
        ("{local: {}}", BY_SSH, LocalTransport),
        (BY_SSH.replace(".2,", ".1,"), BY_SSH, SshTransport),
    ],
)
def test_each_connect_opens_its_own_door(connect: str, other: str, door: type, tmp_path: Path) -> None:
    with open_transports(load_cluster(manifest(tmp_path, connect, other))) as doors:
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
