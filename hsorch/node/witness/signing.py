"""How requests to and replies from the HTTP witness are signed: HMAC-SHA256 (RFC 2104) with a shared token.

A reply is bound to its request by the nonce, so a recorded one proves nothing. A recorded request may be
played again: creating is write-once, so it changes nothing that its sender did not ask for.
"""

from __future__ import annotations

import hmac
from pathlib import Path

from hsorch.errors import NodeError

NONCE = "X-Hsorch-Nonce"
SIGNATURE = "X-Hsorch-Signature"
SHORTEST_TOKEN = 16
PREFIX = "/v1/registers"


def request_signature(token: bytes, method: str, path: str, nonce: str, body: bytes) -> str:
    return _sign(token, b"request", method.encode(), path.encode(), nonce.encode(), body)


def reply_signature(token: bytes, status: int, nonce: str, body: bytes) -> str:
    return _sign(token, b"reply", str(status).encode(), nonce.encode(), body)


def same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def read_token(path: Path) -> bytes:
    """Raises NodeError HS620."""
    try:
        token = path.read_bytes().strip()
    except OSError as error:
        raise NodeError(
            f"cannot read the witness token {path}: {error.strerror}",
            hint="put the same token, readable by root only, on the witness and on both nodes",
            code="HS620",
        ) from error
    return check_token(token, str(path))


def check_token(token: bytes, where: str) -> bytes:
    if len(token) < SHORTEST_TOKEN:
        raise NodeError(
            f"the witness token in {where} is shorter than {SHORTEST_TOKEN} bytes",
            hint="make one with: python3 -c 'import secrets; print(secrets.token_hex(32))'",
            code="HS620",
        )
    return token


def _sign(token: bytes, *parts: bytes) -> str:
    mac = hmac.new(token, digestmod="sha256")
    for part in parts:
        mac.update(len(part).to_bytes(4, "big") + part)
    return mac.hexdigest()
