"""The HTTP witness as a node sees it: one signed request, one signed reply, each time a new connection."""

from __future__ import annotations

import http.client
import os
import secrets
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from hsorch.errors import NodeError
from hsorch.node.core.types import NodeName, WitnessOutcome
from hsorch.node.witness import signing
from hsorch.node.witness.base import Answer, failed
from hsorch.spec import HttpWitness, Secret

LARGEST_REPLY = 4096


class WireAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Body of a reply."""

    outcome: WitnessOutcome
    owner: str = ""
    witness_id: str = ""
    detail: str = ""


class HttpRegister:
    """Raises NodeError HS620 when the token or the CA file cannot be used."""

    def __init__(self, witness: HttpWitness, cluster_id: str) -> None:
        self._url = urlsplit(witness.url)
        self._path = f"{self._url.path.rstrip('/')}{signing.PREFIX}/{cluster_id}"
        self._token = _token(witness.token)
        self._tls = _tls(witness.ca_file) if self._url.scheme == "https" else None

    def create(self, major: int, node: NodeName, limit_s: float) -> Answer:
        return self._ask("PUT", major, msgspec.json.encode({"owner": node}), limit_s)

    def read(self, major: int, limit_s: float) -> Answer:
        return self._ask("GET", major, b"", limit_s)

    def _ask(self, method: str, major: int, body: bytes, limit_s: float) -> Answer:
        path, nonce = f"{self._path}/{major}", secrets.token_hex(16)
        headers = {
            signing.NONCE: nonce,
            signing.SIGNATURE: signing.request_signature(self._token, method, path, nonce, body),
        }
        connection = self._connect(limit_s)
        try:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            data = reply.read(LARGEST_REPLY)
        except (OSError, ValueError, http.client.HTTPException) as error:
            # ValueError: a name that no resolver takes.
            return failed(f"{self._url.netloc}: {error or type(error).__name__}")
        finally:
            connection.close()
        wanted = signing.reply_signature(self._token, reply.status, nonce, data)
        if not signing.same(wanted, reply.headers.get(signing.SIGNATURE, "")):
            if reply.status == http.client.UNAUTHORIZED:
                return failed(f"{self._url.netloc} does not accept our token")
            return failed(f"{self._url.netloc}: its reply is not signed with our token")
        try:
            answer = msgspec.json.decode(data, type=WireAnswer)
        except msgspec.DecodeError as error:
            return failed(f"{self._url.netloc}: {error}")
        return Answer(answer.outcome, answer.owner, answer.witness_id, answer.detail)

    def _connect(self, limit_s: float) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._tls is not None:
            return http.client.HTTPSConnection(host, port, timeout=limit_s, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=limit_s)


def _token(secret: Secret) -> bytes:
    if secret.env:
        return signing.check_token(os.environb.get(secret.env.encode(), b"").strip(), f"${secret.env}")
    return signing.read_token(Path(secret.file))


def _tls(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise NodeError(
            f"the witness's CA file {ca_file} cannot be used: {error}",
            hint="give a PEM file with the certificate that signed the witness's",
            code="HS620",
        ) from error
