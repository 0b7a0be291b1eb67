"""What operators and the controller ask of a running agent: status, explain, operate, reload."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hsorch.errors import HsorchError, NodeError
from hsorch.node import clock, control, enrolment
from hsorch.node.audit import AuditLog
from hsorch.node.core.actions import Severity
from hsorch.node.core.types import Command, Reconfigured, Verb
from hsorch.node.data import DataDriver
from hsorch.node.report import data_limits, limit_reports, status_report
from hsorch.node.setup import links_of, virtual_addresses
from hsorch.node.system.host import host
from hsorch.node.witness.register import open_register
from hsorch.verbs import Operate, Reply

if TYPE_CHECKING:
    from hsorch.node.agent import Agent


class Operator:
    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._server: control.ControlServer | None = None
        self._audit = AuditLog(agent.setup.paths.audit, self._audit_failed)

    def open(self) -> None:
        """Raises NodeError HS608."""
        setup = self._agent.setup
        self._server = control.ControlServer(setup.paths.control, setup.world.loop, host(), self._serve)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._audit.close()

    def _serve(self, request: control.Request, caller: control.Caller) -> None:
        try:
            reply = self._answer(request, caller)
        except HsorchError as error:
            reply = Reply(
                ok=False, code=error.code, message=error.message, hint=error.hint, detail=error.detail
            )
        if reply is not None:
            caller.answer(reply)

    def _answer(self, request: control.Request, caller: control.Caller) -> Reply | None:
        """None: the answer comes later."""
        match request.verb:
            case "status":
                return control.success(status_report(self._agent))
            case "explain":
                limits = limit_reports(self._agent.state, clock.now())
                return control.success((*limits, *data_limits(self._agent.world.data)))
            case "reload":
                return control.success({"revision": self._reload()})
            case "operate":
                self._operate(request, caller)
                return None
        raise NodeError(
            f"this agent knows no verb '{request.verb}'",
            hint="controller and node run different versions: hsorch plan",
            code="HS606",
        )

    def _operate(self, request: control.Request, caller: control.Caller) -> None:
        try:
            order = msgspec.json.decode(request.input, type=Operate)
            verb = Verb(order.verb)
        except ValueError as error:
            raise NodeError(
                f"not an order: {error}", hint=f"the verbs are {', '.join(Verb)}", code="HS606"
            ) from error
        self._audit.add(order, caller.user)
        self._agent.performer.expect(order, caller, self._audit.add)
        self._agent.feed(Command(id=order.id, verb=verb, actor=order.actor, target=order.target))

    def _audit_failed(self, why: str) -> None:
        """A disk that refuses is told, not obeyed."""
        self._agent.world.log.add(
            Severity.ALARM, "audit_failed", f"the audit log cannot be written: {why}", code="HS614"
        )

    def _reload(self) -> int:
        """Put the committed spec in force: the world first, so that the core finds what it decides about."""
        setup, world = self._agent.setup, self._agent.world
        spec = enrolment.spec(setup.paths)
        links = links_of(spec, setup.identity, enrolment.key(setup.paths))
        register = open_register(spec, setup.identity, setup.paths, world.system)
        if (spec.links, spec.nodes) != (world.spec.links, world.spec.nodes):
            world.links.close()
            world.links = links
            self._agent.repair_links()
        world.register = register
        world.runner.reconfigure(spec)
        world.watchdogs.protect(virtual_addresses(spec))
        self._replicate(wanted=spec.replication is not None)
        world.spec = spec
        self._agent.feed(Reconfigured(spec=spec))
        return spec.revision

    def _replicate(self, *, wanted: bool) -> None:
        """The spec may have begun to replicate, or ended it; the replicator itself is the guard's."""
        world = self._agent.world
        if wanted and world.data is None:
            world.data = DataDriver(world.door)
            world.data.start()
        elif not wanted and world.data is not None:
            world.data.stop()
            world.data = None
