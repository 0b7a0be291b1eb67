"""The keys of the data channel: each node makes its own, only the public halves travel."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hsorch.errors import NodeError
from hsorch.node.deployment.wire import Certificate, Done, Pin, ShowCertificate
from hsorch.node.paths import Paths
from hsorch.node.store import replace_file
from hsorch.spec import Link, Node, Spec, encode

if TYPE_CHECKING:
    from hsorch.node.replication.setup import Road


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
    from hsorch.node.replication.rest import give_up, take_on
    from hsorch.node.replication.setup import Places, Returns, Setup

    places, wanted = Places.of(paths), spec.replication
    if wanted is None:
        give_up(places)
        return
    take_on(places)
    bound, _ = resolve(Binding(**msgspec.structs.asdict(b)) for b in wanted.bindings)
    first, *spare = roads(spec, node)
    setup = Setup(
        job=job,
        node=node,
        bindings=bound,
        link=first.link,
        address=first.address,
        peer=first.peer,
        spare=tuple(spare),
        port=wanted.port,
        level=wanted.ack,
        warn_bytes=wanted.warn_bytes,
        stop_bytes=wanted.stop_bytes,
        returns=Returns(
            takeover=spec.policy.takeover != "logical" or spec.policy.reverse_replication,
            switch=spec.policy.auto_resync_after_switch,
        ),
    )
    places.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(places.setup, encode(setup), mode=0o600)


def roads(spec: Spec, node: str) -> list[Road]:
    """The ways that data can take: links marked for it first, the others are spare."""
    from hsorch.node.replication.setup import Road

    def address(of: Node, link: Link) -> str:
        return of.nics[link.nic].address.partition("/")[0]

    here, there = spec.node(node), spec.peer_of(node)
    links = sorted(spec.links, key=lambda link: not link.data)
    found = {link.nic: Road(link=link.name, address=address(here, link), peer=address(there, link))
             for link in reversed(links)}  # fmt: skip
    return list(reversed(found.values()))


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
