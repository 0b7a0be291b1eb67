"""Start order: below before above, the manifest's order among equals, stop in exact reverse."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hsorch.manifest.model import Group, Process
from hsorch.plan.spec import start_order


@st.composite
def groups(draw: st.DrawFn) -> Group:
    names = [f"r{index}" for index in range(draw(st.integers(1, 9)))]
    hidden_order = draw(st.permutations(names))
    below = {
        name: draw(st.lists(st.sampled_from(hidden_order[:place]), unique=True, max_size=3)) if place else []
        for place, name in enumerate(hidden_order)
    }
    resources = tuple(Process(name=n, command=("/x",), depends_on=tuple(below[n])) for n in names)
    return Group(name="g", resources=resources)


@settings(deadline=None)
@given(groups())
def test_what_is_depended_on_starts_first(group: Group) -> None:
    order = [resource.name for resource in start_order(group)]
    assert sorted(order) == sorted(r.name for r in group.resources)
    for resource in group.resources:
        assert all(order.index(below) < order.index(resource.name) for below in resource.depends_on)


@settings(deadline=None)
@given(groups())
def test_among_those_that_could_start_the_first_of_the_manifest_does(group: Group) -> None:
    started: set[str] = set()
    for resource in start_order(group):
        ready = [r.name for r in group.resources if r.name not in started and started >= set(r.depends_on)]
        assert resource.name == ready[0]
        started.add(resource.name)
