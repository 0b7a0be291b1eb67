"""A pair whose data are not replicated, as it were if they were: for mutants of the rules of data."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from hsorch.spec import Binding, Data, Replication, Spec


def with_data(spec: Spec, takeover: Literal["complete", "logical"]) -> Spec:
    """Everything of the group stands on a replicated folder."""
    stands = tuple(replace(r, depends_on=r.depends_on or ("data",)) for r in spec.group.resources)
    return replace(
        spec,
        policy=replace(spec.policy, takeover=takeover),
        group=replace(spec.group, resources=(Data(name="data"), *stands)),
        replication=Replication(
            bindings=(Binding(path="/srv/app", kind="ordered"),),
            ack="durable" if takeover == "complete" else "none",
        ),
    )
