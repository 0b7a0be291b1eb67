"""The keys of the data channel: each node makes its own, only the public halves travel."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import msgspec

from hsorch.errors import NodeError
from hsorch.node.deployment.wire import Certificate, Done, Pin, ShowCertificate
from hsorch.node.paths import Paths
from hsorch.node.store import replace_file
from hsorch.spec import Spec, encode


def show(paths: Paths, order: ShowCertificate) -> Certificate:
    """The node's own certificate, made at the first call. Raises NodeError HS680."""
    if not (paths.channel_certificate.exists() and paths.channel_key.exists()):
        from hsorch.node import enrolment
        from hsorch.node.replication.tls import make_key

        paths.replication.mkdir(parents=True, exist_ok=True, mode=0o700)
        make_key(paths.channel_certificate, paths.channel_key, enrolment.identity(paths).node)
    return Certificate(pem=paths.channel_certificate.read_text("ascii"))


def pin(paths: Paths, order: Pin) -> Done:
    """Raises NodeError HS443 for what is no certificate."""
    wanted = order.pem.encode()
    if not _fingerprint_of(order.pem):
        raise NodeError(
            "what came as the peer's certificate is none",
            hint="controller and node must run the same version: run `hsorch plan`",
            code="HS443",
        )
    if paths.channel_peer.is_file() and paths.channel_peer.read_bytes() == wanted:
        return Done(changed=False)
    paths.replication.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(paths.channel_peer, wanted, mode=0o600)
    return Done(changed=True)


def set_up(paths: Paths, spec: Spec, node: str, job: str) -> None:
    """What the replicator reads; none where nothing is replicated."""
    from hsorch.node.replication.bindings import Binding, resolve
    from hsorch.node.replication.setup import Places, Setup

    file, wanted = Places.of(paths).setup, spec.replication
    if wanted is None:
        file.unlink(missing_ok=True)
        return
    bound, _ = resolve(Binding(**msgspec.structs.asdict(b)) for b in wanted.bindings)
    link = next((link for link in spec.links if link.data), spec.links[0])
    here, there = (n.nics[link.nic].address.partition("/")[0] for n in (spec.node(node), spec.peer_of(node)))
    setup = Setup(
        job=job,
        node=node,
        bindings=tuple(b for b in bound if b.kind == "ordered"),
        address=here,
        peer=there,
        port=wanted.port,
        level=wanted.ack,
    )
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(file, encode(setup), mode=0o600)


def fingerprint(path: Path) -> str:
    """Tells two certificates apart. Empty: none, or unreadable."""
    try:
        return _fingerprint_of(path.read_text("ascii"))
    except (OSError, UnicodeDecodeError):
        return ""


def _fingerprint_of(pem: str) -> str:
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()[:12]
    except ValueError:
        return ""
