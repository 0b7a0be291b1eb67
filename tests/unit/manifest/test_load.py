"""Loading: files and variables, defaults and profiles, and what can go wrong before a word is read."""

import os
from pathlib import Path

import pytest

from hsorch.manifest.load import load, load_bytes
from hsorch.manifest.model import Cluster, SshConnect
from hsorch.plan.spec import compile_spec
from hsorch.spec import Secret, decode_spec, digest, encode

CASES = Path(__file__).parent / "cases"
PAIR = (CASES / "valid-pair.yaml").read_text()


def cluster_of(text: str, **environ: str) -> Cluster:
    loaded = load_bytes(text.encode(), "cluster.yaml", folder=Path("/site"), environ=environ)
    assert loaded.cluster is not None, loaded.diagnostics
    return loaded.cluster


@pytest.mark.parametrize(
    ("profile", "times"),
    [("default", (250, 5, 1000, 1500, 400, 50, 300)), ("fast", (40, 3, 120, 300, 80, 20, 120))],
)
def test_a_profile_sets_all_times(profile: str, times: tuple[int, ...]) -> None:
    cluster = cluster_of(PAIR + f"policy: {{timing: {profile}}}\n")
    link, policy = cluster.links[0], cluster.policy
    assert times == (
        *(link.interval, link.max_missed, policy.suspect, policy.lease, policy.fence),
        *(policy.slack, policy.witness_timeout),
    )


def test_single_times_override_the_profile() -> None:
    text = PAIR.replace("{nic: heartbeat}", "{nic: heartbeat, interval: 100ms, max_missed: 9}")
    cluster = cluster_of(text + "policy: {lease: 3s, max_failovers: 5 per 2h, start_wait: 1m}\n")
    assert (cluster.links[0].interval, cluster.links[0].max_missed, cluster.links[1].interval) == (
        100,
        9,
        250,
    )
    policy = cluster.policy
    assert (policy.lease, policy.max_failovers, policy.failover_window) == (3000, 5, 7_200_000)
    assert policy.start_wait == 60_000


def test_the_preferred_server_wins_conflicts_unless_told_otherwise() -> None:
    assert cluster_of(PAIR).policy.on_conflict == "node-a"
    assert cluster_of(PAIR + "policy: {on_conflict: node-b}\n").policy.on_conflict == "node-b"


def test_paths_of_the_controller_start_at_the_manifest() -> None:
    ssh = "{ssh: {host: a, user: root, sudo: true, key: {file: keys/a}, known_hosts: hosts}}"
    connect = cluster_of(PAIR.replace("{ssh: {host: 10.77.0.11}}", ssh)).server("node-a").connect
    assert connect == SshConnect(
        host="a", user="root", sudo=True, key=Secret(file="/site/keys/a"), known_hosts="/site/hosts"
    )


def test_home_is_the_home_of_who_runs_hsorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ops")
    text = PAIR.replace("{host: 10.77.0.11}", "{host: a, known_hosts: ~/hosts}")
    assert cluster_of(text).server("node-a").connect == SshConnect(host="a", known_hosts="/home/ops/hosts")


def test_a_cluster_becomes_a_spec_that_survives_the_wire() -> None:
    spec = compile_spec(cluster_of(PAIR))
    assert decode_spec(encode(spec)) == spec
    assert [r.name for r in spec.group.resources] == ["IP-app", "NT-nginx"]


def test_style_does_not_change_the_digest() -> None:
    other = PAIR.replace("cluster: plant-7", "cluster: 'plant-7'  # ours")
    assert digest(compile_spec(cluster_of(PAIR))) == digest(compile_spec(cluster_of(other)))


def test_variables_come_from_the_file_the_var_file_and_the_environment(tmp_path: Path) -> None:
    manifest, values = tmp_path / "cluster.yaml", tmp_path / "values.yaml"
    text = PAIR.replace("cluster: plant-7", "cluster: ${site}-${line}").replace(
        "{nic: heartbeat}", '{nic: heartbeat, port: "${port}"}'
    )
    manifest.write_text(text + "vars: {site: one, line: a, port: 3000}\n")
    values.write_text("line: b\nport: 4000\n")
    loaded = load(manifest, var_files=[values], environ={"HSORCH_VAR_line": "c"})
    assert loaded.cluster is not None, loaded.diagnostics
    assert loaded.cluster.name == "one-c"
    assert loaded.cluster.links[0].port == 4000


def test_a_fault_in_a_variable_shows_where_it_was_defined(tmp_path: Path) -> None:
    text = PAIR.replace("10.77.0.10/24", '"${vip}"')
    loaded = load_bytes(text.encode(), "c", folder=tmp_path, environ={"HSORCH_VAR_vip": "10.77.0.300/24"})
    (fault,) = loaded.errors
    assert fault.code == "HS207"
    (label,) = fault.related
    assert loaded.sources[label.span.file].line(label.span.line) == "10.77.0.300/24"


def test_a_plain_use_gives_a_text_of_the_environment_its_kind() -> None:
    text = PAIR.replace(
        "{direct: {nic: heartbeat}, lan: {nic: service}}",
        "\n  direct:\n    nic: heartbeat\n    port: ${port}",
    )
    assert cluster_of(text, HSORCH_VAR_port="5000").links[0].port == 5000


def test_an_escaped_dollar_is_not_a_variable() -> None:
    text = PAIR.replace(
        "services: {nginx: {}}", "processes: {app: {command: [/bin/sh, -c, 'echo $${HOME}']}}"
    )
    assert "command=('/bin/sh', '-c', 'echo ${HOME}')" in repr(cluster_of(text).group.resources[-1])


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    loaded = load(tmp_path / "no.yaml")
    assert [(d.code, "No such file" in d.message) for d in loaded.diagnostics] == [("HS101", True)]


def test_a_folder_a_fifo_and_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", Path("a\0b"), tmp_path / ("x" * 300)):
        assert [d.code for d in load(path).diagnostics] == ["HS101"]


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    (fault,) = load(CASES / "valid-pair.yaml").diagnostics
    assert (fault.code, "Permission denied" in fault.message) == ("HS101", True)


def test_other_encodings_are_named_at_the_byte() -> None:
    def found(data: bytes) -> tuple[str, int, int]:
        (fault,) = load_bytes(data, "c", folder=Path("/"), environ={}).diagnostics
        return fault.code, fault.span.line, fault.span.column

    assert found(PAIR.encode("utf-16")) == ("HS102", 1, 1)
    assert found(b"version: 1\ncluster: pl\xe4nt\n") == ("HS102", 2, 12)
    assert found(b"version: 1\ncluster: a\x00b\n") == ("HS103", 2, 11)


def test_a_byte_order_mark_is_tolerated() -> None:
    assert cluster_of("\ufeff" + PAIR) == cluster_of(PAIR)


def test_a_file_over_one_mebibyte_is_refused() -> None:
    loaded = load_bytes(b"# " + b"x" * (1 << 20), "c", folder=Path("/"), environ={})
    assert [d.code for d in loaded.diagnostics] == ["HS104"]


def test_very_deep_input_does_not_overflow_the_stack() -> None:
    loaded = load_bytes(b"a: " + b"[" * 300_000, "c", folder=Path("/"), environ={})
    assert [d.code for d in loaded.diagnostics] == ["HS103"]


def test_columns_count_characters() -> None:
    loaded = load_bytes(
        b'version: 1\n"\xc3\xa4\xf0\x9f\x99\x82": {clus: 1}\n', "c", folder=Path("/"), environ={}
    )
    unknown = next(d for d in loaded.diagnostics if d.code == "HS202")
    assert (unknown.span.line, unknown.span.column, unknown.span.end_column) == (2, 1, 5)
