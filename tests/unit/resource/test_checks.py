"""Health checks against real sockets: healthy, wrong, silent, dripping, encrypted."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hsorch.node.core.types import ResourceOutcome
from hsorch.node.resource.runner import Result
from hsorch.spec import Check, CommandCheck, HttpCheck, Probe, TcpCheck
from tests.unit.resource.world import AMPLE_S, NodeWorld, check, eventually, start, stop

Serve = Callable[[socket.socket], None]


@contextmanager
def server(serve: Serve) -> Iterator[int]:
    """Port of a listener that hands each connection to `serve`."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

        def loop() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=_quietly, args=(serve, connection), daemon=True).start()

        threading.Thread(target=loop, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def _quietly(serve: Serve, connection: socket.socket) -> None:
    """The client may hang up whenever it likes."""
    with connection:
        try:
            serve(connection)
        except OSError:
            return


def answer(status: str) -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    return serve


def silence(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def drip(connection: socket.socket) -> None:
    for _ in range(600):
        connection.sendall(b"H")
        if threading.Event().wait(0.05):
            return


def asked(node: NodeWorld, probe: Check, limit_s: float = AMPLE_S) -> Result:
    return check(node.runner(Probe(name="web", check=probe)), limit_s=limit_s)


def test_tcp_is_healthy_when_something_accepts(node: NodeWorld) -> None:
    with server(silence) as port:
        assert asked(node, TcpCheck(host="127.0.0.1", port=port)).outcome is ResourceOutcome.OK
    refused = asked(node, TcpCheck(host="127.0.0.1", port=port))
    assert refused.code == "HS659"
    assert f"127.0.0.1:{port}" in refused.detail


def test_http_is_healthy_with_the_expected_status_only(node: NodeWorld) -> None:
    with server(answer("200 OK")) as port:
        assert asked(node, HttpCheck(url=f"http://127.0.0.1:{port}/")).outcome is ResourceOutcome.OK
    with server(answer("503 Busy")) as port:
        url = f"http://127.0.0.1:{port}/health?full=1"
        result = asked(node, HttpCheck(url=url))
        assert "answers 503 instead of 200" in result.detail
        assert asked(node, HttpCheck(url=url, expect_status=503)).outcome is ResourceOutcome.OK


@pytest.mark.parametrize("serve", [silence, drip], ids=["accepts and says nothing", "drips a byte at a time"])
def test_a_hung_server_fails_the_check_within_its_limit(node: NodeWorld, serve: Serve) -> None:
    with server(serve) as port:
        result = asked(node, HttpCheck(url=f"http://127.0.0.1:{port}/"), limit_s=2.0)
    assert (result.outcome, result.code) == (ResourceOutcome.FAILED, "HS659")
    assert "no answer in time" in result.detail


@pytest.mark.parametrize("words", [b"SSH-2.0-OpenSSH\r\n", b"\r\n", b"HTTP/1.1\r\n", b""])
def test_what_is_not_http_is_not_healthy(node: NodeWorld, words: bytes) -> None:
    with server(lambda connection: connection.sendall(words)) as port:
        assert asked(node, HttpCheck(url=f"http://127.0.0.1:{port}/")).code == "HS659"


def test_an_unknown_host_is_not_healthy(node: NodeWorld) -> None:
    result = asked(node, TcpCheck(host="no-such-host.invalid", port=80), limit_s=1.0)
    assert result.code == "HS659"


def test_https_trusts_its_own_ca_only_unless_told_not_to_verify(node: NodeWorld, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path))

    def serve(connection: socket.socket) -> None:
        answer("200 OK")(context.wrap_socket(connection, server_side=True))

    with server(serve) as port:
        url = f"https://127.0.0.1:{port}/"
        trusted = asked(node, HttpCheck(url=url, ca_file=str(tmp_path / "site.pem")))
        stranger = asked(node, HttpCheck(url=url))
        unverified = asked(node, HttpCheck(url=url, verify=False))
        missing = asked(node, HttpCheck(url=url, ca_file=str(tmp_path / "none.pem")))
    assert trusted.outcome is ResourceOutcome.OK
    assert stranger.code == "HS659"
    assert "certificate" in stranger.detail.lower()
    assert unverified.outcome is ResourceOutcome.OK
    assert missing.code == "HS659"


def test_a_command_is_healthy_when_it_ends_with_0(node: NodeWorld) -> None:
    assert asked(node, CommandCheck(argv=("true",))).outcome is ResourceOutcome.OK
    result = asked(node, CommandCheck(argv=("sh", "-c", "echo stale; exit 7")))
    assert "ended with 7" in result.detail
    assert result.output == "stale\n"


def test_a_hung_command_is_killed_at_its_limit_and_leaves_nothing(node: NodeWorld) -> None:
    result = asked(node, CommandCheck(argv=("sh", "-c", "sleep 600 & sleep 600")), limit_s=0.3)
    assert result.outcome is ResourceOutcome.TIMEOUT
    eventually(lambda: node.processes() == {})


def test_a_command_that_succeeds_leaves_nothing_behind_either(node: NodeWorld) -> None:
    assert asked(node, CommandCheck(argv=("sh", "-c", "sleep 600 &"))).outcome is ResourceOutcome.OK
    eventually(lambda: node.processes() == {})


def test_a_probe_resource_starts_as_soon_as_its_check_passes(node: NodeWorld, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    runner = node.runner(Probe(name="web", check=CommandCheck(argv=("test", "-e", str(ready)))))
    assert start(runner, limit_s=0.3).outcome is ResourceOutcome.TIMEOUT
    threading.Timer(0.2, ready.touch).start()
    assert start(runner).outcome is ResourceOutcome.OK
    assert stop(runner).outcome is ResourceOutcome.OK


def _certificate(directory: Path) -> Path:
    """Self-signed for 127.0.0.1: site.pem to trust, returned file with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "site")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "site.pem").write_bytes(public)
    both = directory / "both.pem"
    both.write_bytes(private + public)
    return both
