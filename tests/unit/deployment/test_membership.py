"""A node joins a pair, takes specs in two phases, and leaves."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest

from hsorch.errors import HsorchError, NodeError, RefusedError
from hsorch.node.deployment import facts, lock, membership
from hsorch.node.deployment.wire import Abort, Commit, Enroll, Leave, Stage, TakeLock
from hsorch.node.paths import Paths
from hsorch.node.store import Store
from hsorch.spec import Group, Identity, Link, Nic, Node, NoWitness, Policy, Spec, digest

ME = Identity(cluster="demo", cluster_id="c" * 32, node="node-a")
KEY = "ab" * 32


def spec(revision: int = 1, **changes: object) -> Spec:
    nics = {"service": Nic(name="eth0", address="10.0.0.1/24")}
    made = Spec(
        cluster="demo",
        revision=revision,
        nodes=(Node(name="node-a", nics=nics), Node(name="node-b", nics=nics)),
        preferred="node-a",
        links=(Link(name="lan", nic="service", port=3000, interval_ms=200, max_missed=5),),
        witness=NoWitness(),
        group=Group(name="app", resources=()),
        policy=Policy(lease_ms=1500, fence_ms=400, suspect_ms=1000, on_conflict="node-a"),
    )
    return msgspec.structs.replace(made, **changes)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths("demo", root=tmp_path)


@pytest.fixture
def member(paths: Paths) -> Paths:
    membership.enroll(paths, Enroll(cluster="demo", identity=ME, key=KEY))
    lock.take(paths, TakeLock(cluster="demo", id="op-1", owner="ann@desk", operation="apply"))
    return paths


def stage(paths: Paths, wanted: Spec, by: str = "op-1") -> bool:
    return membership.stage(paths, Stage(cluster="demo", lock=by, spec=wanted)).changed


def commit(paths: Paths, wanted: Spec) -> bool:
    order = Commit(cluster="demo", lock="op-1", revision=wanted.revision, digest=digest(wanted))
    return membership.commit(paths, order).changed


def refused(code: str, act: object, *arguments: object) -> HsorchError:
    with pytest.raises(HsorchError) as caught:
        act(*arguments)  # type: ignore[operator]
    assert caught.value.code == code
    return caught.value


def test_only_its_owner_may_read_the_key(member: Paths) -> None:
    assert member.key.read_text() == KEY
    assert stat.S_IMODE(member.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(member.var.stat().st_mode) == 0o700


def test_to_enroll_again_changes_nothing(member: Paths) -> None:
    assert not membership.enroll(member, Enroll(cluster="demo", identity=ME, key=KEY)).changed


@pytest.mark.parametrize("other", [{"node": "node-b"}, {"cluster_id": "d" * 32}])
def test_a_member_of_one_pair_is_not_torn_into_another(member: Paths, other: dict[str, str]) -> None:
    stranger = msgspec.structs.replace(ME, **other)
    error = refused("HS432", membership.enroll, member, Enroll(cluster="demo", identity=stranger, key=KEY))
    assert isinstance(error, RefusedError)
    assert membership.identity(member) == ME


@pytest.mark.parametrize("key", [KEY, KEY[:7]])
def test_a_torn_identity_is_written_anew(key: str, member: Paths) -> None:
    member.identity.write_text('{"cl')
    member.key.write_text(key)
    assert membership.enroll(member, Enroll(cluster="demo", identity=ME, key=KEY)).changed
    assert membership.identity(member) == ME


def test_a_torn_identity_beside_a_foreign_key_is_left_alone(member: Paths) -> None:
    member.identity.write_text('{"cl')
    member.key.write_text("f" * 64)
    refused("HS442", membership.enroll, member, Enroll(cluster="demo", identity=ME, key=KEY))
    assert member.key.read_text() == "f" * 64


def test_a_staged_spec_binds_nobody_until_it_is_committed(member: Paths) -> None:
    assert stage(member, spec())
    assert membership.committed_spec(member) is None
    assert commit(member, spec())
    assert membership.committed_spec(member) == spec()
    assert not member.staged.exists()


def test_both_phases_may_be_repeated(member: Paths) -> None:
    for _ in range(2):
        stage(member, spec())
        commit(member, spec())
    assert not stage(member, spec())
    assert not commit(member, spec())


def test_only_what_is_staged_is_committed(member: Paths) -> None:
    stage(member, spec())
    refused("HS441", commit, member, spec(preferred="node-b"))
    assert membership.committed_spec(member) is None


def test_a_revision_never_goes_back(member: Paths) -> None:
    stage(member, spec(revision=5))
    commit(member, spec(revision=5))
    refused("HS434", stage, member, spec(revision=5, preferred="node-b"))
    refused("HS434", stage, member, spec(revision=4))


def test_an_aborted_spec_is_forgotten(member: Paths) -> None:
    stage(member, spec())
    assert membership.abort(member, Abort(cluster="demo", lock="op-1")).changed
    refused("HS441", commit, member, spec())


def test_without_the_lock_nothing_is_staged_or_committed(member: Paths) -> None:
    refused("HS431", stage, member, spec(), "op-2")


def test_a_spec_of_another_wire_version_or_for_other_nodes_is_refused(member: Paths) -> None:
    refused("HS433", stage, member, spec(wire=99))
    strangers = tuple(msgspec.structs.replace(n, name=n.name + "x") for n in spec().nodes)
    refused("HS432", stage, member, spec(nodes=strangers))


def test_a_torn_spec_is_told_and_replaced_by_the_next(member: Paths) -> None:
    member.spec.write_bytes(b'{"cluster": "de')
    with pytest.raises(NodeError, match="cannot be read"):
        membership.committed_spec(member)
    stage(member, spec())
    commit(member, spec())
    assert membership.committed_spec(member) == spec()


def test_facts_name_what_is_torn_and_hide_the_key(member: Paths) -> None:
    member.spec.write_bytes(b"\x00")
    found = facts.collect(member)
    assert "spec.json cannot be read" in found.trouble
    assert found.identity == ME
    assert found.lock is not None
    assert found.lock.owner == "ann@desk"
    assert KEY not in msgspec.json.encode(found).decode()
    assert found.key == facts.key_fingerprint(member) != ""


def test_a_key_that_others_may_read_counts_as_none(member: Paths) -> None:
    member.key.chmod(0o644)
    assert facts.key_fingerprint(member) == ""


def test_leaving_leaves_nothing_but_what_others_put_there(member: Paths) -> None:
    (member.home / "witness.token").write_text("theirs")
    member.runtimes.mkdir()
    member.run.mkdir(parents=True)
    assert membership.leave(member, Leave(cluster="demo")).changed
    assert [path.name for path in member.home.iterdir()] == ["witness.token"]
    assert not member.run.exists()
    assert not membership.leave(member, Leave(cluster="demo")).changed


def test_the_runtime_stays_while_another_pair_needs_it(member: Paths) -> None:
    member.runtimes.mkdir()
    Paths("other", root=member.root).var.mkdir()
    membership.leave(member, Leave(cluster="demo"))
    assert member.runtimes.exists()


def test_a_replaced_machine_joins_without_a_memory_of_its_own(paths: Paths) -> None:
    membership.enroll(paths, Enroll(cluster="demo", identity=ME, key=KEY, joins=True))
    assert Store(paths.state, paths.incarnation).load().forgotten


def test_a_founder_starts_afresh(member: Paths) -> None:
    loaded = Store(member.state, member.incarnation).load()
    assert (loaded.durable, loaded.forgotten) == (None, False)
