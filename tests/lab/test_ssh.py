"""Plan and apply over SSH: a real sshd on both nodes, the controller on the lab's client machine."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hsorch.errors import ExitCode
from hsorch.lab import lifecycle
from tests.lab.world import Pair, copy_example, fresh_name, until

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
SSHD = "/usr/sbin/sshd"
ADDRESSES = {"node-a": "10.77.0.11", "node-b": "10.77.0.12"}
CONFIG = """
Port 22
HostKey {folder}/{node}.key
AuthorizedKeysFile {folder}/user.pub
StrictModes no
UsePAM no
PidFile none
LogLevel VERBOSE
"""


@dataclass(frozen=True)
class Site:
    """A pair whose `connect` is ssh, and what the controller runs it with."""

    pair: Pair
    folder: Path
    """Of the manifest and the keys; every machine of the lab sees it as /lab."""

    def hsorch(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line on the client machine, for this pair's manifest."""
        command = shlex.join([sys.executable, "-m", "hsorch.cli.main", *arguments, "/lab/cluster.yaml"])
        script = f"export PYTHONPATH={ROOT} XDG_STATE_HOME=/tmp/state && exec {command}"
        return self.pair.exec("client", "sh", "-c", script, timeout=120)

    def sessions(self, node: str) -> int:
        """Commands that sshd of the node has begun so far."""
        return self.log(node).count("Starting session: command")

    def log(self, node: str) -> str:
        return self.pair.exec(node, "cat", "/run/sshd.log").stdout

    def rewrite(self, old: str, new: str) -> None:
        manifest = self.folder / "cluster.yaml"
        text = manifest.read_text()
        assert old in text
        manifest.write_text(text.replace(old, new))

    def keyscan(self) -> None:
        """What an administrator does once: known_hosts with the keys of both nodes."""
        scanned = self.pair.exec("client", "ssh-keyscan", "-t", "ed25519", *ADDRESSES.values())
        (self.folder / "known_hosts").write_text(scanned.stdout)


@pytest.fixture(scope="module")
def site(lab_allowed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Not applied yet; the host keys are not known yet."""
    if not Path(SSHD).exists():
        pytest.skip("there is no sshd on this machine: apt-get install openssh-server")
    yield from ssh_site(tmp_path_factory.mktemp("ssh"))


def ssh_site(folder: Path) -> Iterator[Site]:
    name = fresh_name()
    manifest = copy_example(folder, name)
    pair = Pair(name, manifest)
    make_keys(folder)
    made = Site(pair, folder)
    try:
        lifecycle.up(compiled(manifest), folder)
        for node in ADDRESSES:
            start_sshd(made, node)
        connect = "{{ssh: {{host: {0}, user: root, key: {{file: user}}, known_hosts: known_hosts}}}}"
        for address in ADDRESSES.values():
            text = manifest.read_text()
            manifest.write_text(text.replace("{lab: {}}", connect.format(address), 1))
        yield made
    finally:
        lifecycle.down(name)


@pytest.fixture(scope="module")
def trusted(site: Site) -> Site:
    """The same, once its administrator has looked at the host keys."""
    site.keyscan()
    return site


def compiled(manifest: Path):  # type: ignore[no-untyped-def]
    from hsorch.manifest.load import load
    from hsorch.plan.spec import compile_spec

    cluster = load(manifest).cluster
    assert cluster is not None
    return compile_spec(cluster)


def make_keys(folder: Path) -> None:
    for name in ("user", "stranger", "node-a.key", "node-b.key", "reinstalled.key"):
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(argv, check=True, capture_output=True)


def start_sshd(site: Site, node: str) -> None:
    (site.folder / f"{node}.conf").write_text(CONFIG.format(folder="/lab", node=node))
    # ssh refuses a key that others may read; the folder's mode is the host's.
    script = (
        f"mkdir -p /run/sshd && cp /lab/{node}.key /run/{node}.key && chmod 600 /run/{node}.key && "
        f"sed 's,/lab/{node}.key,/run/{node}.key,' /lab/{node}.conf > /run/sshd.conf && "
        f"{SSHD} -f /run/sshd.conf -E /run/sshd.log"
    )
    started = site.pair.exec(node, "sh", "-c", script)
    assert started.returncode == 0, started
    until(f"sshd of {node} listens", lambda: "listening" in site.log(node))


def test_an_unknown_host_key_is_refused_with_its_fingerprint_and_the_way_out(site: Site) -> None:
    refused = site.hsorch("plan")
    fingerprint = subprocess.run(
        ["ssh-keygen", "-lf", str(site.folder / "node-a.key.pub")], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    assert refused.returncode == ExitCode.AUTH, refused
    assert "HS511" in refused.stderr
    assert fingerprint in refused.stderr
    assert "ssh-keyscan 10.77.0.11 >> /lab/known_hosts" in refused.stderr


def test_first_plan_and_apply_over_ssh(trusted: Site) -> None:
    before = {node: trusted.sessions(node) for node in ADDRESSES}
    planned = trusted.hsorch("plan")
    assert planned.returncode == 0, planned
    assert "+ node-a.runtime" in planned.stdout
    assert all(trusted.sessions(node) - before[node] <= 2 for node in ADDRESSES)
    applied = trusted.hsorch("apply", "--yes")
    assert applied.returncode == 0, applied
    trusted.pair.wait_protected()


def test_plan_of_a_live_pair_takes_at_most_two_commands_a_node(trusted: Site) -> None:
    before = {node: trusted.sessions(node) for node in ADDRESSES}
    planned = trusted.hsorch("plan", "--detailed-exitcode")
    assert (planned.returncode, "No changes." in planned.stdout) == (0, True), planned
    assert all(1 <= trusted.sessions(node) - before[node] <= 2 for node in ADDRESSES)


def test_the_cluster_key_is_on_no_command_line(trusted: Site) -> None:
    for node in ADDRESSES:
        key = trusted.pair.exec(node, "cat", f"/var/lib/hsorch/{trusted.pair.cluster}/key").stdout
        assert len(key) == 64
        assert key not in trusted.log(node)


def test_a_changed_host_key_is_refused_and_names_both_fingerprints(trusted: Site) -> None:
    known = (trusted.folder / "known_hosts").read_text()
    other = (trusted.folder / "reinstalled.key.pub").read_text().split()
    lines = [f"{line.split()[0]} {other[0]} {other[1]}" for line in known.splitlines() if line]
    (trusted.folder / "known_hosts").write_text("\n".join(lines) + "\n")
    refused = trusted.hsorch("plan")
    (trusted.folder / "known_hosts").write_text(known)
    assert (refused.returncode, "HS512" in refused.stderr) == (ExitCode.AUTH, True), refused
    assert refused.stderr.count("SHA256:") >= 2
    assert "ssh-keygen -f /lab/known_hosts -R '10.77.0.11'" in refused.stderr


def test_a_key_that_is_not_authorized_is_refused(trusted: Site) -> None:
    trusted.rewrite("key: {file: user}", "key: {file: stranger}")
    refused = trusted.hsorch("plan")
    trusted.rewrite("key: {file: stranger}", "key: {file: user}")
    assert (refused.returncode, "HS513" in refused.stderr) == (ExitCode.AUTH, True), refused
    assert "authorized_keys" in refused.stderr


def test_a_key_file_that_is_missing_is_named(trusted: Site) -> None:
    trusted.rewrite("key: {file: user}", "key: {file: nobody}")
    refused = trusted.hsorch("plan")
    trusted.rewrite("key: {file: nobody}", "key: {file: user}")
    assert (refused.returncode, "/lab/nobody" in refused.stderr) == (ExitCode.AUTH, True), refused


def test_sudo_that_is_not_there_is_said_with_the_way_out(trusted: Site) -> None:
    if trusted.pair.exec("node-a", "sh", "-c", "command -v sudo").returncode == 0:
        pytest.skip("sudo is installed on this machine and root may use it: nothing to refuse")
    trusted.rewrite("known_hosts: known_hosts}", "known_hosts: known_hosts, sudo: true}")
    refused = trusted.hsorch("plan")
    trusted.rewrite("known_hosts: known_hosts, sudo: true}", "known_hosts: known_hosts}")
    assert (refused.returncode, "HS514" in refused.stderr) == (ExitCode.AUTH, True), refused


def test_nobody_listens(trusted: Site) -> None:
    trusted.rewrite("user: root", "user: root, port: 2222")
    refused = trusted.hsorch("plan")
    trusted.rewrite("user: root, port: 2222", "user: root")
    assert (refused.returncode, "HS501" in refused.stderr) == (ExitCode.UNREACHABLE, True), refused
    assert "port 2222" in refused.stderr


def test_a_node_that_is_cut_off_is_unreachable_in_bounded_time(trusted: Site) -> None:
    trusted.pair.fault("isolate", "node-b")
    refused = trusted.hsorch("plan")
    trusted.pair.heal()
    assert refused.returncode == ExitCode.UNREACHABLE, refused
    assert "10.77.0.12" in refused.stderr


def test_large_output_and_input_do_not_block_each_other(trusted: Site) -> None:
    script = (
        "import sys; from pathlib import Path; from hsorch.transport.ssh import SshTarget, SshTransport\n"
        "node = SshTransport(SshTarget(host='10.77.0.11', user='root', "
        "known_hosts=Path('/lab/known_hosts'), key_file=Path('/lab/user')))\n"
        "data = b'x' * 6_000_000\n"
        "twice = 'import sys; d = sys.stdin.buffer.read(); '\n"
        "twice += '[f.buffer.write(d) for f in (sys.stdout, sys.stderr)]'\n"
        "done = node.run([sys.executable, '-c', twice], data, 60.0)\n"
        "assert done.stdout == data and done.stderr.endswith(data)\n"
        "assert node.run(['sh', '-c', 'exit 7']).returncode == 7\n"
        "node.put(data, '/tmp/big', 0o600); assert node.get('/tmp/big') == data\n"
        "try: node.run(['sleep', '60'], timeout=0.5)\n"
        "except Exception as error: assert getattr(error, 'code', '') == 'HS502', error\n"
        "else: raise AssertionError('no timeout')\n"
        "assert node.run(['true']).returncode == 0; node.close()\n"
        "print('all of it')"
    )
    done = trusted.pair.exec("client", sys.executable, "-c", script, timeout=100)
    assert done.stdout == "all of it\n", done
