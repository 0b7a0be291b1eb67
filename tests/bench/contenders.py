"""Who is measured: hsorch pairs, and the peers on the same machines, network, application and client.

The peers' application runs on both nodes all the time and only the address moves; hsorch starts it on
takeover. So the peers have less to do, and none of them is safe against a split brain as configured here.
"""

from __future__ import annotations

import subprocess
import textwrap
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from hsorch.lab import lifecycle
from tests.lab.conftest import applied, start_lab
from tests.lab.world import Lab, Pair, until

NODES = ("node-a", "node-b")
VIP = "10.77.0.10"


class Contender(Protocol):
    name: str

    def running(self) -> AbstractContextManager[Rig]: ...


class Rig(Protocol):
    """A protected pair that can be broken again and again."""

    lab: Lab

    def active(self) -> str: ...

    def settle(self) -> None:
        """Heal all and wait until a crash would be survived."""


@dataclass(frozen=True)
class Hsorch:
    name: str
    example: str

    @contextmanager
    def running(self) -> Iterator[HsorchRig]:
        with TemporaryDirectory() as folder:
            pairs = applied(Path(folder), example=self.example)
            yield HsorchRig(next(pairs))
            next(pairs, None)


@dataclass(frozen=True)
class HsorchRig:
    lab: Pair

    def active(self) -> str:
        return until("a node is active", lambda: self.lab.active or None)

    def settle(self) -> None:
        self.lab.heal()
        self.lab.wait_protected()


@dataclass(frozen=True)
class Peer:
    """A daemon that is started by `script` on each node; `files` are written for it first, by name."""

    name: str
    script: str
    files: dict[str, str] = field(default_factory=dict)
    ready_s: float = 15.0
    """How long until a crash would be survived; peers do not say it."""

    @contextmanager
    def running(self) -> Iterator[PeerRig]:
        with TemporaryDirectory() as folder:
            lab = start_lab(Path(folder))
            for name, text in self.files.items():
                (Path(folder) / name).write_text(text)
            (Path(folder) / "start.sh").write_text(self.script)
            rig = PeerRig(lab, self)
            try:
                rig.settle()
                yield rig
            finally:
                lifecycle.down(lab.cluster)


@dataclass(frozen=True)
class PeerRig:
    lab: Lab
    peer: Peer
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def active(self) -> str:
        def holder() -> str | None:
            held = [n for n in NODES if f" {VIP}/" in self.lab.exec(n, "ip", "-o", "addr").stdout]
            return held[0] if len(held) == 1 else None

        return until("one node holds the address", holder, 60)

    def settle(self) -> None:
        self.lab.heal()
        for node in NODES:
            if node not in self.started or self.started[node].poll() is not None:
                self._start(node, "python3", "/lab/app.py", "--data", "/srv/app", "--port", "8080")
                self.started[node] = self._start(node, "bash", "/lab/start.sh")
        time.sleep(self.peer.ready_s)
        self.active()

    def _start(self, node: str, *argv: str) -> subprocess.Popen[bytes]:
        command = lifecycle.command_inside(self.lab.cluster, node, argv)
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )


def keepalived(name: str, advert_s: float) -> Peer:
    return Peer(
        name,
        "exec keepalived --dont-fork --vrrp --use-file /lab/keepalived.conf --log-console",
        {
            "keepalived.conf": textwrap.dedent(f"""\
                global_defs {{
                    vrrp_version 3
                }}
                vrrp_instance pair {{
                    state BACKUP
                    nopreempt
                    interface eth0
                    virtual_router_id 51
                    priority 128
                    advert_int {advert_s:g}
                    virtual_ipaddress {{
                        {VIP}/24 dev eth0
                    }}
                }}
                """)
        },
        ready_s=8.0,
    )


def pacemaker(name: str, token_ms: int) -> Peer:
    return Peer(
        name,
        textwrap.dedent("""\
            exec unshare --mount bash -ec '
            for folder in /dev/shm /var/lib/pacemaker /var/lib/corosync /var/log /etc/corosync; do
                mkdir -p $folder; mount -t tmpfs none $folder
            done
            cp /lab/corosync.conf /etc/corosync/
            mkdir -p /run/crm /run/lock /run/resource-agents /var/log/pacemaker
            mkdir -p /var/lib/pacemaker/cib /var/lib/pacemaker/pengine /var/lib/pacemaker/cores
            mkdir -p /var/lib/pacemaker/blackbox
            chown -R hacluster:haclient /var/lib/pacemaker /run/crm /var/log/pacemaker
            corosync -f & sleep 1
            pacemakerd -f & sleep 12
            if [ "$(hostname)" = node-a ]; then
                crm_attribute -n stonith-enabled -v false
                cibadmin --create --scope resources --xml-file /lab/resource.xml || true
            fi
            wait'
            """),
        {
            "corosync.conf": textwrap.dedent(f"""\
                totem {{
                    version: 2
                    cluster_name: bench
                    transport: udpu
                    token: {token_ms}
                }}
                nodelist {{
                    node {{
                        name: node-a
                        nodeid: 1
                        ring0_addr: 10.77.0.11
                    }}
                    node {{
                        name: node-b
                        nodeid: 2
                        ring0_addr: 10.77.0.12
                    }}
                }}
                quorum {{
                    provider: corosync_votequorum
                    two_node: 1
                    wait_for_all: 0
                }}
                logging {{
                    to_syslog: no
                    to_logfile: yes
                    logfile: /var/log/corosync.log
                }}
                """),
            "resource.xml": textwrap.dedent(f"""\
                <primitive id="vip" class="ocf" provider="heartbeat" type="IPaddr2">
                  <instance_attributes id="vip-attributes">
                    <nvpair id="vip-ip" name="ip" value="{VIP}"/>
                  </instance_attributes>
                  <operations><op id="vip-monitor" name="monitor" interval="1s"/></operations>
                </primitive>
                """),
        },
        ready_s=40.0,
    )
