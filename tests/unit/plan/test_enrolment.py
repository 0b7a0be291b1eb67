"""The pair's identity and key: from a node that has them whole; made anew only where none has any."""

from __future__ import annotations

import pytest

from hsorch.errors import NodeError
from hsorch.node.paths import Paths
from hsorch.plan.enrolment import Enrolment
from hsorch.spec import Identity, encode
from hsorch.transport.fake import FakeTransport

KEY = b"ab" * 32
IDENTITY = encode(Identity(cluster="demo", cluster_id="c" * 32, node="node-b"))


def node(identity: bytes = b"", key: bytes = b"") -> FakeTransport:
    found, paths = FakeTransport(), Paths("demo")
    for path, content in ((paths.identity, identity), (paths.key, key)):
        if content:
            found.put(content, path.as_posix())
    return found


def secret_of(first: FakeTransport, second: FakeTransport) -> tuple[str, str]:
    secret = Enrolment("demo", {"node-a": first, "node-b": second}).get()
    return secret.cluster_id, secret.key


def test_fresh_nodes_get_an_identity_and_key_of_their_own() -> None:
    assert secret_of(node(), node()) != secret_of(node(), node())


@pytest.mark.parametrize("torn", [b'{"cl', b"\xff\x00"])
def test_what_is_torn_on_one_node_comes_from_the_other(torn: bytes) -> None:
    assert secret_of(node(torn, torn), node(IDENTITY, KEY)) == ("c" * 32, KEY.decode())


@pytest.mark.parametrize(("identity", "key"), [(b'{"cl', KEY), (IDENTITY, b"abc")])
def test_what_no_node_has_whole_is_not_guessed(identity: bytes, key: bytes) -> None:
    with pytest.raises(NodeError, match="damaged") as refused:
        secret_of(node(identity, key), node())
    assert refused.value.code == "HS442"


def test_whoever_comes_to_a_pair_that_is_there_joins_it() -> None:
    assert not Enrolment("demo", {"node-a": node(), "node-b": node()}).get().joins
    assert Enrolment("demo", {"node-a": node(), "node-b": node(IDENTITY, KEY)}).get().joins
