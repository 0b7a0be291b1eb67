"""The vocabulary of faults: name → what it does to a world."""

from __future__ import annotations

from collections.abc import Callable

from hsorch.sim import breakage, data_faults, wires
from hsorch.sim.fault import Fault
from hsorch.sim.machine import Machine
from hsorch.sim.world import World

Kind = Callable[[World, Machine, Fault], wires.Heal | None]

KINDS: dict[str, Kind] = {
    "crash": breakage.crash,
    "torn": breakage.torn,
    "disk-replaced": breakage.disk_replaced,
    "snapshot": breakage.snapshot,
    "rolled-back": breakage.rolled_back,
    "crash-on-write": breakage.crash_on_write,
    "agent-kill": breakage.agent_kill,
    "agent-loop": breakage.agent_loop,
    "agent-freeze": breakage.agent_freeze,
    "guard-kill": breakage.guard_kill,
    "node-freeze": breakage.node_freeze,
    "vm-pause": breakage.vm_pause,
    "clock-step": breakage.clock_step,
    "clock-rate": breakage.clock_rate,
    "disk-full": breakage.disk_full,
    "disk-slow": breakage.disk_slow,
    "service-kill": breakage.service_kill,
    "service-hang": breakage.service_hang,
    "start-fails": breakage.start_fails,
    "stop-hangs": breakage.stop_hangs,
    "fence-fails": breakage.fence_fails,
    "address-taken": breakage.address_taken,
    "config-differs": breakage.config_differs,
    "retimed": breakage.retimed,
    "data-cut": data_faults.data_cut,
    "data-slow": data_faults.data_slow,
    "data-fails": data_faults.data_fails,
    "files-held": data_faults.files_held,
    "resync": data_faults.resync,
    "choose": data_faults.choose,
    "order": breakage.order,
    "link-cut": wires.link_cut,
    "partition": wires.partition,
    "one-way": wires.one_way,
    "isolate": wires.isolate,
    "lossy": wires.lossy,
    "slow": wires.slow,
    "reorder": wires.reorder,
    "duplicate": wires.duplicate,
    "service-link-down": wires.service_link_down,
    "forged": wires.forged,
    "replay": wires.replay,
    "stranger-version": wires.stranger_version,
    "witness-down": wires.witness_down,
    "witness-slow": wires.witness_slow,
    "witness-read-only": wires.witness_read_only,
    "witness-replaced": wires.witness_replaced,
    "witness-cut": wires.witness_cut,
    "deaf-to-arp": wires.deaf_to_arp,
}
