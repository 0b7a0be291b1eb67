"""Who the two replicators are to each other: one key per node, the peer's certificate pinned.

Each node makes its own self-signed certificate; the installer carries the public halves across (enrolment).
Nothing else is trusted: no authority, no name, no date (a clock that stepped must not stop replication).
TLS 1.3 only, both sides prove themselves. No session tickets: every connection proves anew.
"""

from __future__ import annotations

import os
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hsorch.errors import NodeError

_DATES_DO_NOT_COUNT = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which Python has no name for."""
_LIMIT_S = 30
_NO_LOCAL_POLICY = {**os.environ, "OPENSSL_CONF": os.devnull}
"""The key is the same on every machine, also where openssl.cnf is missing."""


@dataclass(frozen=True)
class Keys:
    """PEM files of one node. key: 0600."""

    certificate: Path
    key: Path
    peer: Path


def make_key(certificate: Path, key: Path, name: str) -> str:
    """A new P-256 key and its self-signed certificate; the certificate's PEM, for the peer.

    Raises NodeError HS680: no openssl program, or it failed.
    """
    before = os.umask(0o077)
    try:
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-nodes", "-days", "36500", "-subj", f"/CN={name}",
                "-addext", "basicConstraints=critical,CA:TRUE",
                "-keyout", str(key), "-out", str(certificate),
            ],
            check=True, capture_output=True, text=True, timeout=_LIMIT_S, env=_NO_LOCAL_POLICY,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise NodeError(
            f"cannot make the replication key of {name}",
            hint="install openssl on this node",
            detail=str(getattr(error, "stderr", "") or error),
            code="HS680",
        ) from error
    finally:
        os.umask(before)
    return certificate.read_text("ascii")


def context(keys: Keys, *, server: bool) -> ssl.SSLContext:
    """Accepts the pinned peer and nobody else. Raises NodeError HS681: a file is missing or no PEM."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags = ssl.VerifyFlags(ssl.VERIFY_X509_PARTIAL_CHAIN | _DATES_DO_NOT_COUNT)
    if server:
        made.num_tickets = 0
    try:
        made.load_cert_chain(keys.certificate, keys.key)
        made.load_verify_locations(cafile=str(keys.peer))
    except OSError as error:
        raise NodeError(
            f"cannot use the replication keys in {keys.certificate.parent}: {error}",
            hint="enroll the nodes again: hsorch apply",
            code="HS681",
        ) from error
    return made


def pinned(shown: bytes, keys: Keys) -> bool:
    """Whether the certificate that the other end showed (DER) is exactly the pinned one."""
    return shown == ssl.PEM_cert_to_DER_cert(keys.peer.read_text("ascii"))
