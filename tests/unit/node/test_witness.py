"""The register is written once and never forgets; whatever is not a clear answer confirms nothing."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from hsorch.errors import NodeError
from hsorch.node.core.types import WitnessOutcome
from hsorch.node.witness.base import Register
from hsorch.node.witness.client import HttpRegister
from hsorch.node.witness.server import MOST_CLIENTS, WitnessServer, server_tls
from hsorch.node.witness.share import ShareRegister
from hsorch.spec import HttpWitness, Secret

CLUSTER = "00112233445566778899aabbccddeeff"
LIMIT_S = 5.0


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("0123456789abcdef0123456789abcdef\n")
    return path


@pytest.fixture
def server(tmp_path: Path, token: Path) -> Iterator[WitnessServer]:
    with WitnessServer(tmp_path / "data", ("127.0.0.1", 0), token.read_bytes().strip()) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def url(server: WitnessServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


@pytest.fixture(params=["share", "http"])
def register(request: pytest.FixtureRequest, tmp_path: Path, token: Path) -> Register:
    if request.param == "share":
        (tmp_path / "data").mkdir()
        return ShareRegister(tmp_path / "data", CLUSTER)
    server: WitnessServer = request.getfixturevalue("server")
    return HttpRegister(HttpWitness(url=url(server), token=Secret(file=str(token))), CLUSTER)


def test_the_first_who_comes_gets_the_major(register: Register) -> None:
    first = register.create(5, "a", LIMIT_S)
    second = register.create(5, "b", LIMIT_S)
    assert (first.outcome, first.owner) == (WitnessOutcome.CREATED, "a")
    assert (second.outcome, second.owner) == (WitnessOutcome.EXISTS, "a")
    assert first.witness_id == second.witness_id != ""


def test_asking_again_for_ones_own_major_is_not_a_second_win(register: Register) -> None:
    register.create(5, "a", LIMIT_S)
    again = register.create(5, "a", LIMIT_S)
    assert (again.outcome, again.owner) == (WitnessOutcome.EXISTS, "a")


def test_reading_makes_nothing(register: Register) -> None:
    assert register.read(1, LIMIT_S).outcome is WitnessOutcome.ABSENT
    assert register.create(1, "b", LIMIT_S).outcome is WitnessOutcome.CREATED
    read = register.read(1, LIMIT_S)
    assert (read.outcome, read.owner) == (WitnessOutcome.EXISTS, "b")


def test_of_many_at_once_exactly_one_wins(register: Register) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: register.create(1, f"n{n}", LIMIT_S), range(16)))
    winners = [answer.owner for answer in answers if answer.outcome is WitnessOutcome.CREATED]
    assert len(winners) == 1
    assert {answer.owner for answer in answers} == {winners[0]}


def test_an_emptied_witness_has_another_identity(tmp_path: Path) -> None:
    before = ShareRegister(tmp_path, CLUSTER).create(1, "a", LIMIT_S)
    for path in (tmp_path / CLUSTER).iterdir():
        path.unlink()
    after = ShareRegister(tmp_path, CLUSTER).read(1, LIMIT_S)
    assert after.outcome is WitnessOutcome.ABSENT
    assert after.witness_id != before.witness_id


def test_a_mount_point_without_its_share_is_not_an_empty_witness(tmp_path: Path) -> None:
    answer = ShareRegister(tmp_path / "not-mounted", CLUSTER).create(1, "a", LIMIT_S)
    assert answer.outcome is WitnessOutcome.FAILED
    assert not (tmp_path / "not-mounted").exists()


def test_a_share_that_cannot_be_written_confirms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = ShareRegister(tmp_path, CLUSTER)
    register.read(1, LIMIT_S)

    def read_only(*_: object) -> None:
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr(os, "link", read_only)
    answer = register.create(1, "a", LIMIT_S)
    assert answer.outcome is WitnessOutcome.FAILED
    assert "Read-only" in answer.detail
    monkeypatch.undo()
    assert register.read(1, LIMIT_S).outcome is WitnessOutcome.ABSENT


def test_a_damaged_entry_confirms_nothing(tmp_path: Path) -> None:
    register = ShareRegister(tmp_path, CLUSTER)
    register.create(1, "a", LIMIT_S)
    (tmp_path / CLUSTER / "major-1.json").write_bytes(b'{"major":1,')
    assert register.read(1, LIMIT_S).outcome is WitnessOutcome.FAILED
    assert register.create(1, "b", LIMIT_S).outcome is WitnessOutcome.FAILED


def test_the_server_remembers_over_a_restart(tmp_path: Path, token: Path) -> None:
    secret = token.read_bytes().strip()
    for expected in (WitnessOutcome.CREATED, WitnessOutcome.EXISTS):
        with WitnessServer(tmp_path / "data", ("127.0.0.1", 0), secret) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            client = HttpRegister(HttpWitness(url=url(server), token=Secret(file=str(token))), CLUSTER)
            assert client.create(1, "a", LIMIT_S).outcome is expected
            server.shutdown()
            thread.join()


def test_a_wrong_token_is_named(server: WitnessServer, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("f" * 32)
    answer = HttpRegister(HttpWitness(url=url(server), token=Secret(file=str(other))), CLUSTER).read(1, 1.0)
    assert answer.outcome is WitnessOutcome.FAILED
    assert "token" in answer.detail


def test_a_witness_that_is_down_confirms_nothing(unused_port: int, token: Path) -> None:
    witness = HttpWitness(url=f"http://127.0.0.1:{unused_port}", token=Secret(file=str(token)))
    answer = HttpRegister(witness, CLUSTER).create(1, "a", 1.0)
    assert answer.outcome is WitnessOutcome.FAILED
    assert str(unused_port) in answer.detail


def test_a_name_that_cannot_be_one_confirms_nothing(token: Path) -> None:
    witness = HttpWitness(url=f"http://{'w' * 70}.example:1", token=Secret(file=str(token)))
    assert HttpRegister(witness, CLUSTER).create(1, "a", 1.0).outcome is WitnessOutcome.FAILED


def test_strangers_who_hold_connections_open_lock_nobody_out(server: WitnessServer, token: Path) -> None:
    place = cast(tuple[str, int], server.server_address)
    silent = [socket.create_connection(place, timeout=30) for _ in range(2 * MOST_CLIENTS)]
    witness = HttpWitness(url=url(server), token=Secret(file=str(token)))
    assert HttpRegister(witness, CLUSTER).create(1, "a", LIMIT_S).outcome is WitnessOutcome.CREATED
    assert silent[0].recv(1) == b""
    for connection in silent:
        connection.close()


def test_clusters_do_not_see_each_other(server: WitnessServer, token: Path) -> None:
    witness = HttpWitness(url=url(server), token=Secret(file=str(token)))
    HttpRegister(witness, CLUSTER).create(1, "a", LIMIT_S)
    assert HttpRegister(witness, "f" * 32).read(1, LIMIT_S).outcome is WitnessOutcome.ABSENT


def test_a_missing_token_says_where_it_should_be(tmp_path: Path) -> None:
    with pytest.raises(NodeError) as caught:
        HttpRegister(HttpWitness(url="http://w", token=Secret(file=str(tmp_path / "none"))), CLUSTER)
    assert caught.value.code == "HS620"


def test_a_busy_port_is_named(server: WitnessServer, tmp_path: Path) -> None:
    with pytest.raises(NodeError) as caught:
        WitnessServer(tmp_path / "more", ("127.0.0.1", server.server_address[1]), b"0" * 32)
    assert caught.value.code == "HS621"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Self-signed for 127.0.0.1: one file with certificate and key."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "witness")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "witness.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


def test_over_tls_only_the_known_certificate_is_trusted(
    tmp_path: Path, token: Path, certificate: Path
) -> None:
    tls = server_tls(certificate)
    with WitnessServer(tmp_path / "data", ("127.0.0.1", 0), token.read_bytes().strip(), tls) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        secure = f"https://127.0.0.1:{server.server_address[1]}"
        known = HttpWitness(url=secure, token=Secret(file=str(token)), ca_file=str(certificate))
        unknown = HttpWitness(url=secure, token=Secret(file=str(token)))
        answers = [HttpRegister(witness, CLUSTER).create(1, "a", LIMIT_S) for witness in (unknown, known)]
        server.shutdown()
        thread.join()
    assert [answer.outcome for answer in answers] == [WitnessOutcome.FAILED, WitnessOutcome.CREATED]
    assert "certificate" in answers[0].detail


def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("nothing")
    with pytest.raises(NodeError) as caught:
        server_tls(tmp_path / "no.pem")
    assert caught.value.code == "HS621"
