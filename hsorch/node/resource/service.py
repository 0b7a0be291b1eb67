"""A service of the operating system's service manager, started and stopped by it."""

from __future__ import annotations

import time

from hsorch.errors import NodeError
from hsorch.node.resource import checks
from hsorch.node.resource.call import Call, Note
from hsorch.node.resource.probe import wait_until_it_answers
from hsorch.node.resource.records import Record
from hsorch.node.system.base import Finished, ServiceState
from hsorch.spec import Service

_LOOK_AGAIN_S = 0.05


class ServiceKind:
    """Implements hsorch.node.resource.call.Kind for Service."""

    def start(self, call: Call, resource: Service) -> Note:
        services = call.system.services
        state = services.state(resource.unit, call.deadline)
        if not state.running:
            with call.effect():
                call.records.put(Record(name=call.name, kind="service", unit=resource.unit))
            done = services.start(resource.unit, call.mark, call.deadline, call.effect)
            state = services.state(resource.unit, call.deadline)
            _must_run(call, state, done)
        call.records.put(Record(name=call.name, kind="service", unit=resource.unit, group=state.group))
        detail = f"{state.unit} is {state.active} ({state.sub})"
        if state.at_boot:
            detail += "; warning: it also starts at boot, disable it (systemctl disable)"
        if resource.probe is not None:
            detail += f", {wait_until_it_answers(call, resource.probe, resource.check_limit_ms)}"
        return Note(detail)

    def stop(self, call: Call, resource: Service) -> Note:
        services = call.system.services
        if services.state(resource.unit, call.deadline).gone:
            call.records.drop(call.name)
            return Note(f"{resource.unit} is stopped")
        done = services.stop(resource.unit, call.mark, call.deadline)
        if done.code is None:
            raise call.ran_out(f"systemctl stop {resource.unit}", done.output)
        return self._gone(call, resource, done)

    def kill(self, call: Call, resource: Service) -> Note:
        record = call.record
        group = record.group if record else ""
        call.system.services.kill(resource.unit, group, call.mark, call.deadline)
        return self._gone(call, resource, Finished(0))

    def check(self, call: Call, resource: Service) -> Note:
        state = call.system.services.state(resource.unit, call.deadline)
        _must_run(call, state, Finished(0))
        detail = f"{state.unit} is {state.active} ({state.sub})"
        if resource.probe is not None:
            detail += f", {checks.perform(call, resource.probe)}"
        return Note(detail)

    def _gone(self, call: Call, resource: Service, done: Finished) -> Note:
        while not (state := call.system.services.state(resource.unit, call.deadline)).gone:
            if call.deadline.left() <= _LOOK_AGAIN_S:
                raise call.ran_out(f"{resource.unit}, still {state.active} ({state.sub}),", done.output)
            time.sleep(_LOOK_AGAIN_S)
        call.records.drop(call.name)
        return Note(f"{resource.unit} is stopped", done.output)


def _must_run(call: Call, state: ServiceState, done: Finished) -> None:
    if done.code is None:
        raise call.ran_out(f"systemctl start {state.unit}", done.output)
    if not state.running:
        raise NodeError(
            f"{state.unit} is {state.active} ({state.sub}, {state.result or 'no result'})",
            hint=f"`journalctl -u {state.unit}` on this node says why",
            detail=done.output,
            code="HS660",
        )
