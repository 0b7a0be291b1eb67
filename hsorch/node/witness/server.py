"""`hsorch witness serve`: a small HTTP server that keeps write-once registers in a directory, durably.

One server may witness many clusters. It has no clock, no timer and no opinion: it only never forgets.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from hsorch.errors import NodeError
from hsorch.node.witness import signing
from hsorch.node.witness.base import Answer
from hsorch.node.witness.client import WireAnswer
from hsorch.node.witness.directory import Directory

_REGISTER = re.compile(re.escape(signing.PREFIX) + r"/([0-9a-f]{32})/(0|[1-9][0-9]{0,17})")
LARGEST_BODY = 1024
SLOWEST_CLIENT_S = 5.0
MOST_CLIENTS = 64


class _Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    owner: str


class WitnessServer(ThreadingHTTPServer):
    """Raises NodeError HS621 when it cannot listen or its directory cannot be used."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, data: Path, listen: tuple[str, int], token: bytes, tls: ssl.SSLContext | None = None
    ) -> None:
        self.data = data
        self.token = token
        self.writing = Lock()
        self._connected: dict[Any, None] = {}
        """Oldest first."""
        self.address_family = socket.AF_INET6 if ":" in listen[0] else socket.AF_INET
        try:
            data.mkdir(parents=True, exist_ok=True, mode=0o700)
            super().__init__(listen, _Handler)
        except OSError as error:
            raise NodeError(
                f"the witness cannot serve {data} on {listen[0]} port {listen[1]}: {error.strerror}",
                hint="choose a free port of an address of this machine, and a directory it may write",
                code="HS621",
            ) from error
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Whoever has dawdled longest makes room: a stranger who holds connections open locks nobody out."""
        self._connected[request] = None
        if len(self._connected) > MOST_CLIENTS:
            oldest = list(self._connected)[0]  # noqa: RUF015 - other threads change it while one iterates
            self._connected.pop(oldest, None)
            with contextlib.suppress(OSError):
                # The plain socket's: the thread that serves it, maybe within its handshake, does the rest.
                socket.socket.shutdown(oldest, socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connected.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is no event; anything else goes to the log in one line."""
        error = sys.exception()
        if not isinstance(error, OSError):
            sys.stderr.write(f"witness: {client_address[0]}: {type(error).__name__}: {error}\n")


class _Handler(BaseHTTPRequestHandler):
    server: WitnessServer
    timeout = SLOWEST_CLIENT_S
    server_version = "hsorch-witness"
    sys_version = ""

    def do_GET(self) -> None:
        self._serve("GET")

    def do_PUT(self) -> None:
        self._serve("PUT")

    def _serve(self, method: str) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            return self._reply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"")
        body = self.rfile.read(int(length))
        nonce = self.headers.get(signing.NONCE, "")
        wanted = signing.request_signature(self.server.token, method, self.path, nonce, body)
        if not nonce or not signing.same(wanted, self.headers.get(signing.SIGNATURE, "")):
            return self._reply(HTTPStatus.UNAUTHORIZED, b"")
        match = _REGISTER.fullmatch(self.path)
        if match is None:
            return self._reply(HTTPStatus.NOT_FOUND, b"")
        directory, major = Directory(self.server.data, match[1]), int(match[2])
        if method == "GET":
            return self._answer(directory.read(major))
        try:
            wish = msgspec.json.decode(body, type=_Wish)
        except msgspec.DecodeError:
            return self._reply(HTTPStatus.BAD_REQUEST, b"")
        with self.server.writing:
            answer = directory.create(major, wish.owner)
        return self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        wire = WireAnswer(
            outcome=answer.outcome, owner=answer.owner, witness_id=answer.witness_id, detail=answer.detail
        )
        self._reply(HTTPStatus.OK, msgspec.json.encode(wire))

    def _reply(self, status: HTTPStatus, body: bytes) -> None:
        nonce = self.headers.get(signing.NONCE, "")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status is not HTTPStatus.UNAUTHORIZED:
            signature = signing.reply_signature(self.server.token, status, nonce, body)
            self.send_header(signing.SIGNATURE, signature)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Requests are not logged: the registers are the record."""


def serve(data: Path, listen: tuple[str, int], token_file: Path, certificate: Path | None = None) -> None:
    """Until interrupted. Raises NodeError HS620, HS621."""
    token = signing.read_token(token_file)
    tls = server_tls(certificate) if certificate is not None else None
    with WitnessServer(data, listen, token, tls) as server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


def server_tls(certificate: Path) -> ssl.SSLContext:
    """certificate: one PEM file with the key. Raises NodeError HS621."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        tls.load_cert_chain(certificate)
    except (OSError, ssl.SSLError) as error:
        raise NodeError(
            f"the certificate {certificate} cannot be used: {error}",
            hint="give one PEM file that holds the certificate and its key",
            code="HS621",
        ) from error
    return tls
