"""The pair on machines that systemd runs: the guard is a unit, the application too."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from hsorch.spec import HttpCheck, Ip, Service, ShareWitness
from tests.lab.runtime_pair import APPLICATION, VIP, make_spec
from tests.lab.systemd_world import SHARE, UNIT, CannotBootError, SystemdPair, systemd_pair

pytestmark = pytest.mark.lab

APP = "shop.service"
APP_UNIT = f"""[Unit]
Description=The protected application
[Service]
Environment=HSORCH_NODE=%H
ExecStart={sys.executable} -S /mnt/shop.py
Restart=always
RestartSec=0
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemdPair]:
    """Installed through the node's door and started; the application runs behind the virtual address."""
    resources = (
        Ip(name="address", address=f"{VIP}/24", nic="service"),
        Service(name="shop", depends_on=("address",), unit=APP, probe=HttpCheck(url=f"http://{VIP}:8080/")),
    )
    spec = make_spec(SHARE, witness=ShareWitness(path=str(SHARE)), resources=resources)
    home = tmp_path_factory.mktemp("systemd")
    try:
        with systemd_pair(home, spec) as made:
            (home / "share/shop.py").write_text(APPLICATION)
            for machine in made.machines:
                machine.write_unit(APP, APP_UNIT)
            made.install()
            for machine in made.machines:
                machine.door("service", action="start")
            yield made
    except CannotBootError as reason:
        pytest.skip(str(reason))


@pytest.fixture
def healthy(pair: SystemdPair) -> SystemdPair:
    pair.until("both nodes are protected", pair.healthy, 40)
    return pair


def test_the_guard_is_a_unit_that_runs_and_starts_at_boot(healthy: SystemdPair) -> None:
    for machine in healthy.machines:
        assert machine.shows("ActiveState") == "active"
        assert machine.shows("UnitFileState") == "enabled"
        assert machine.shows("StatusText") == "", UNIT
