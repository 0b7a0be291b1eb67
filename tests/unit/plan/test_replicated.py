"""What a manifest with data becomes: the spec, the plan's words, and what has to be confirmed."""

from pathlib import Path

from hsorch import spec
from hsorch.cli.render.plan_text import stakes
from hsorch.manifest.load import load_bytes
from hsorch.plan.diff import diff_specs
from hsorch.plan.model import Plan
from hsorch.plan.spec import compile_spec

HERE = Path(__file__).parent
DATA = """
replication:
  ordered: [{path: /srv/app, include: [./app.db], preset: sqlite}, /srv/images]
  exclude: ["*.tmp"]
"""


def compiled(extra: str = "", takeover: str = "logical") -> spec.Spec:
    pair = (HERE / "pair.yaml").read_text()
    text = pair.replace("policy:\n", f"policy:\n  takeover: {takeover}\n") + extra
    loaded = load_bytes(text.encode(), "pair.yaml", folder=HERE, environ={})
    assert loaded.cluster is not None, loaded.diagnostics
    return compile_spec(loaded.cluster)


def test_all_of_the_group_stands_on_its_data() -> None:
    data, *others = compiled(DATA).group.resources
    assert isinstance(data, spec.Data)
    assert [r.name for r in others if not r.depends_on] == []
    assert data.name in {below for r in others for below in r.depends_on}


def test_without_replication_there_is_no_data_resource() -> None:
    plain = compiled()
    assert plain.replication is None
    assert not any(isinstance(r, spec.Data) for r in plain.group.resources)


def test_a_general_exclude_holds_for_every_folder() -> None:
    replication = compiled(DATA).replication
    assert replication is not None
    assert [(b.path, b.kind, b.exclude) for b in replication.bindings] == [
        ("/srv/app", "ordered", ("*.tmp",)),
        ("/srv/images", "ordered", ("*.tmp",)),
    ]


def test_only_complete_makes_a_flush_wait() -> None:
    waits = {
        takeover: found.ack
        for takeover in ("logical", "complete")
        if (found := compiled(DATA, takeover).replication)
    }
    assert waits == {"logical": "none", "complete": "durable"}


def test_data_of_a_node_are_replaced_only_where_there_may_be_some() -> None:
    impacts = {
        where: {item.address: item.impact for item in items}["replication./srv/app"]
        for where, items in {
            "first apply": diff_specs(None, compiled(DATA), group_in=False),
            "a lab yet to be made": diff_specs(None, compiled(DATA), group_in=False, empty=True),
            "running pair": diff_specs(compiled(), compiled(DATA), group_in=True),
            "unbound": diff_specs(compiled(DATA), compiled(), group_in=True),
        }.items()
    }
    assert impacts == {
        "first apply": "overwrite",
        "a lab yet to be made": "live",
        "running pair": "overwrite",
        "unbound": "outage",
    }


def test_the_plan_shows_which_way_data_go() -> None:
    wanted = compiled(DATA)
    plan = Plan(
        cluster=wanted.cluster,
        manifest="pair.yaml",
        spec=wanted,
        digest="",
        runtime="",
        observed={},
        items=diff_specs(None, wanted, group_in=False),
        source="node-b",
    )
    told = "\n".join(stakes(plan))
    assert "Data go from node-b to node-a" in told, "the active node counts, not the preferred one"
    assert "/srv/app, /srv/images" in told
