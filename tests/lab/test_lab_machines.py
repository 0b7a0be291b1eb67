"""The machines of a lab: what they share with the host system, what is theirs, what survives which death."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hsorch.errors import LabError, TransportError
from hsorch.lab import lifecycle
from hsorch.transport.lab import LabTransport, read_state, start_time, state_dir
from tests.lab.conftest import start_lab
from tests.lab.world import Lab, copy_example, fresh_name, hsorch, until

pytestmark = pytest.mark.lab


@pytest.fixture(autouse=True)
def healed(lab: Lab) -> None:
    lab.heal()


def test_nodes_have_names_and_addresses_of_their_own(lab: Lab) -> None:
    assert lab.exec("node-a", "hostname").stdout == "node-a\n"
    shown = lab.exec("node-b", "ip", "-br", "addr").stdout
    assert "10.77.0.12/24" in shown
    assert "192.168.50.2/30" in shown


def test_a_node_sees_its_own_processes_only(lab: Lab) -> None:
    assert lab.exec("node-a", "sh", "-c", "echo /proc/[0-9]*").stdout.split()[0] == "/proc/1"
    listed = lab.exec("node-a", "sh", "-c", "cat /proc/[0-9]*/comm").stdout
    assert "pytest" not in listed


def test_what_a_node_writes_stays_on_its_own_disk(lab: Lab) -> None:
    lab.exec("node-a", "sh", "-c", "echo mine >/srv/note")
    assert lab.exec("node-a", "cat", "/srv/note").stdout == "mine\n"
    assert lab.exec("node-b", "cat", "/srv/note").returncode != 0
    assert not Path("/srv/note").exists()


def test_a_node_cannot_write_to_the_host_system(lab: Lab) -> None:
    done = lab.exec("node-a", "touch", "/etc/hsorch-was-here", "/usr/hsorch-was-here")
    assert "Read-only file system" in done.stderr
    assert not Path("/etc/hsorch-was-here").exists()


def test_a_node_does_not_find_the_watchdog_device_of_the_host(lab: Lab) -> None:
    assert "watchdog" not in lab.exec("node-a", "ls", "/dev").stdout


def test_every_boot_has_its_own_boot_id(lab: Lab) -> None:
    host = Path("/proc/sys/kernel/random/boot_id").read_text()
    first = lab.exec("node-a", "cat", "/proc/sys/kernel/random/boot_id").stdout
    lab.fault("reboot", "node-a")
    second = lab.exec("node-a", "cat", "/proc/sys/kernel/random/boot_id").stdout
    assert len({host, first, second}) == 3


def test_disk_survives_a_crash_and_run_does_not(lab: Lab) -> None:
    lab.exec("node-b", "sh", "-c", "echo kept >/var/lib/hsorch/kept; echo lost >/run/lost")
    lab.fault("crash", "node-b")
    lab.heal()
    assert lab.exec("node-b", "cat", "/var/lib/hsorch/kept").stdout == "kept\n"
    assert lab.exec("node-b", "cat", "/run/lost").returncode != 0


def test_addresses_added_by_hand_do_not_survive_a_reboot(lab: Lab) -> None:
    lab.exec("node-a", "ip", "addr", "add", "10.77.0.10/24", "dev", "eth0")
    lab.fault("reboot", "node-a")
    assert "10.77.0.10" not in lab.exec("node-a", "ip", "addr").stdout


def test_on_boot_is_run_at_each_boot(lab: Lab) -> None:
    script = "#!/bin/sh\necho booted >>/srv/boots\n"
    LabTransport(lab.cluster, "node-a").put(script.encode(), "/var/lib/hsorch/on-boot", 0o755)
    lab.fault("reboot", "node-a")
    lab.fault("reboot", "node-a")
    until(
        "two boots were noted", lambda: lab.exec("node-a", "cat", "/srv/boots").stdout == "booted\nbooted\n"
    )
    lab.exec("node-a", "rm", "/var/lib/hsorch/on-boot")


def test_a_clean_shutdown_asks_every_program_first(lab: Lab) -> None:
    program = "trap 'echo asked >/srv/asked; exit' TERM; touch /srv/ready; while :; do sleep 0.05; done"
    lab.exec("node-b", "sh", "-c", f'setsid sh -c "{program}" >/dev/null 2>&1 &')
    until("the program runs", lambda: lab.exec("node-b", "ls", "/srv/ready").returncode == 0)
    lab.fault("shutdown", "node-b")
    until("the node is off", lambda: _power(lab, "node-b") == "off")
    lab.heal()
    assert lab.exec("node-b", "cat", "/srv/asked").stdout == "asked\n"


def test_the_manifest_folder_is_seen_as_lab(lab: Lab) -> None:
    assert "app.py" in lab.exec("node-a", "ls", "/lab").stdout


def test_the_witness_token_is_on_both_nodes_for_root_only(lab: Lab) -> None:
    tokens = {lab.exec(node, "cat", "/var/lib/hsorch/witness.token").stdout for node in ("node-a", "node-b")}
    assert len(tokens) == 1
    assert len(tokens.pop()) == 64
    mode = lab.exec("node-a", "stat", "-c", "%a", "/var/lib/hsorch/witness.token").stdout
    assert mode == "600\n"


def test_exec_passes_the_exit_code_through(lab: Lab) -> None:
    done = hsorch("lab", "exec", "--cluster", lab.cluster, "node-a", "--", "sh", "-c", "exit 7", check=False)
    assert done.returncode == 7


def test_transport_moves_files_and_knows_unreachable_nodes(lab: Lab) -> None:
    node = LabTransport(lab.cluster, "node-a")
    node.put(b"\x00text\n", "/srv/file", 0o640)
    assert node.get("/srv/file") == b"\x00text\n"
    assert node.run(["cat"], b"stdin").stdout == b"stdin"
    with pytest.raises(TransportError, match="sleep on node-a did not end"):
        node.run(["sleep", "60"], timeout=0.2)
    # By command line: a dead program that nobody has buried yet has none.
    assert "sleep" not in lab.exec("node-a", "sh", "-c", "cat /proc/[0-9]*/cmdline").stdout
    lab.fault("crash", "node-a")
    with pytest.raises(TransportError, match="node-a is off"):
        node.run(["true"])
    lab.heal()
    lab.fault("freeze", "node-a")
    with pytest.raises(TransportError, match="frozen"):
        node.run(["true"])


def test_two_labs_side_by_side_do_not_disturb_each_other(lab: Lab, tmp_path: Path) -> None:
    second = start_lab(tmp_path)
    try:
        second.fault("crash", "node-a")
        assert lab.hears("node-b", "10.77.0.11")
        assert not second.hears("node-b", "10.77.0.11")
    finally:
        lifecycle.down(second.cluster)
    assert lab.hears("node-b", "10.77.0.11")


def test_down_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    made = start_lab(tmp_path)
    state = read_state(made.cluster)
    assert state is not None
    hsorch("lab", "down", made.cluster)
    assert not state_dir(made.cluster).exists()
    pids = [state.chassis, *(host.pid for host in state.hosts.values())]
    assert [pid for pid in pids if start_time(pid)] == []
    assert made.cluster not in Path("/proc/mounts").read_text()


def test_what_a_killed_lab_left_is_noticed_and_removed(tmp_path: Path, lab: Lab) -> None:
    made = start_lab(tmp_path)
    state = read_state(made.cluster)
    assert state is not None
    os.kill(state.chassis, 9)
    until("the chassis is gone", lambda: not start_time(state.chassis))
    assert read_state(made.cluster) is None
    with pytest.raises(LabError, match="is not up") as refused:
        made.fault("crash", "node-a")
    assert refused.value.code == "HS801"
    hsorch("lab", "up", str(made.manifest))
    try:
        assert made.exec("node-a", "true").returncode == 0
    finally:
        lifecycle.down(made.cluster)


def test_machines_of_a_lab_have_the_folders_that_the_pair_binds(tmp_path: Path, lab: Lab) -> None:
    """So `hsorch apply` finds the same lab, whether it made it or not."""
    name = fresh_name()
    made = Lab(name, copy_example(tmp_path, name))
    text = made.manifest.read_text()

    def up(folder: str) -> int:
        made.manifest.write_text(f"{text}\nreplication: {{ordered: [{folder}]}}\n")
        return hsorch("lab", "up", str(made.manifest), check=False).returncode

    assert up("/data") != 0, "no disk of a lab's machine"
    assert read_state(made.cluster) is None
    assert up("/srv/data/app") == 0
    try:
        for node in ("node-a", "node-b"):
            assert made.exec(node, "test", "-d", "/srv/data/app").returncode == 0
    finally:
        lifecycle.down(made.cluster)


def test_a_user_whose_path_lacks_the_sbin_folders_gets_a_lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lab: Lab
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    made = start_lab(tmp_path)
    lifecycle.down(made.cluster)


def test_a_fault_heals_itself_after_its_time(lab: Lab) -> None:
    hsorch("lab", "fault", "--cluster", lab.cluster, "crash", "node-b", "--for", "300ms")
    assert _power(lab, "node-b") == "off"
    until("the node is back", lambda: _power(lab, "node-b") == "on")


def _power(lab: Lab, machine: str) -> str:
    return lifecycle.one(lab.cluster).hosts[machine].power
