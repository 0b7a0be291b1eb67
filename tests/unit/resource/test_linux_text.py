"""What we read from and hand to the kernel and its tools, as text and bytes."""

from __future__ import annotations

import ipaddress
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsorch.node.resource.ip import ANNOUNCE_FOR_S, announcement_times
from hsorch.node.system.linux import netlink
from hsorch.node.system.linux.carrier import notices
from hsorch.node.system.linux.deadman import ruleset
from hsorch.node.system.linux.neighbours import announcements, holder_of, internet_checksum
from hsorch.node.system.linux.proctable import parse_stat
from hsorch.node.system.linux.services import parse_show

OURS = bytes.fromhex("020000000001")
THEIRS = bytes.fromhex("020000000002")


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40))))
def test_netlink_attributes_come_back_as_they_went_in(pairs: list[tuple[int, bytes]]) -> None:
    data = b"".join(netlink.attribute(kind, value) for kind, value in pairs)
    assert len(data) % 4 == 0
    assert list(netlink.attributes(data)) == pairs


@given(st.binary(max_size=200))
def test_no_bytes_whatever_break_the_netlink_parsers(data: bytes) -> None:
    list(netlink.attributes(data))
    list(netlink.messages(data))
    notices(data)


@given(st.binary(max_size=120), st.booleans())
def test_no_frame_whatever_breaks_the_neighbour_parser(frame: bytes, four: bool) -> None:
    address = ipaddress.ip_address("10.0.0.5" if four else "fd00::5")
    assert len(holder_of(frame, address, OURS)) <= 6


@pytest.mark.parametrize("text", ["10.0.0.5", "fd00::5"])
def test_an_announcement_is_understood_as_a_claim_by_others_and_not_by_its_sender(text: str) -> None:
    address = ipaddress.ip_address(text)
    for frame in announcements(THEIRS, address):
        assert holder_of(frame, address, OURS) == THEIRS
        assert holder_of(frame, address, THEIRS) == b""
        assert holder_of(frame, ipaddress.ip_address(int(address) + 1), OURS) == b""


def test_an_ipv6_announcement_carries_a_checksum_that_receivers_accept() -> None:
    (frame,) = announcements(OURS, ipaddress.ip_address("fd00::5"))
    payload = frame[54:]
    pseudo = frame[22:54] + struct.pack("!II", len(payload), 58)
    assert internet_checksum(pseudo + payload) == 0


def test_a_process_name_may_hold_blanks_and_parentheses() -> None:
    tail = b" S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 0 0"
    found = parse_stat(b"42 (a) b (c))" + tail)
    assert (found.pid, found.command, found.parent, found.session) == (42, "a) b (c)", 1, 42)
    assert found.started == 98765
    assert not found.dead


def test_a_line_that_is_no_process_is_refused() -> None:
    with pytest.raises(ValueError, match="not a line"):
        parse_stat(b"42 (cut off) S 1")


@pytest.mark.parametrize(
    ("text", "running", "gone", "at_boot"),
    [
        (
            "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\n",
            True,
            False,
            True,
        ),
        ("LoadState=loaded\nActiveState=reloading\nSubState=reload\n", True, False, False),
        ("LoadState=loaded\nActiveState=activating\nSubState=auto-restart\n", False, False, False),
        ("LoadState=loaded\nActiveState=deactivating\nSubState=stop-sigterm\n", False, False, False),
        ("LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\n", False, True, False),
        (
            "LoadState=loaded\nActiveState=inactive\nSubState=dead\nUnitFileState=disabled\n",
            False,
            True,
            False,
        ),
    ],
)
def test_systemd_states(text: str, running: bool, gone: bool, at_boot: bool) -> None:
    state = parse_show("web.service", text)
    assert (state.loaded, state.running, state.gone, state.at_boot) == (True, running, gone, at_boot)


def test_an_unknown_unit_is_not_loaded() -> None:
    text = "Id=nope.service\nLoadState=not-found\nActiveState=inactive\nResult=success\nnonsense\n"
    assert not parse_show("nope.service", text).loaded


def test_announcements_come_at_once_then_ever_more_rarely_until_ten_seconds() -> None:
    assert announcement_times(0) == []
    assert announcement_times(1) == [0.0]
    times = announcement_times(5)
    assert times[0] == 0.0
    assert times[-1] == ANNOUNCE_FOR_S
    gaps = [b - a for a, b in pairwise(times)]
    assert gaps == sorted(gaps)


def test_the_rules_of_the_dead_man_switch() -> None:
    assert ruleset("hsorch_t", "of_1", ["10.0.0.5", "fd00::5"]) == RULES


RULES = """\
table inet hsorch_t { }
delete table inet hsorch_t
table arp hsorch_t { }
delete table arp hsorch_t
table inet hsorch_t {
 set lease { type ether_type; flags timeout; }
 chain of_1 { }
 chain incoming {
  type filter hook prerouting priority -400; policy accept;
  ip daddr 10.0.0.5 fib daddr type local meta protocol != @lease drop
  ip6 daddr fd00::5 fib daddr type local meta protocol != @lease drop
  icmpv6 type nd-neighbor-solicit @th,64,128 \
0xfd000000000000000000000000000005 meta protocol != @lease drop
 }
 chain outgoing {
  type filter hook output priority -400; policy accept;
  ip saddr 10.0.0.5 meta protocol != @lease drop
  ip6 saddr fd00::5 meta protocol != @lease drop
  icmpv6 type nd-neighbor-advert @th,64,128 \
0xfd000000000000000000000000000005 meta protocol != @lease drop
 }
}
table arp hsorch_t {
 set lease { type ether_type; flags timeout; }
 chain of_1 { }
 chain incoming {
  type filter hook input priority -400; policy accept;
  arp daddr ip 10.0.0.5 arp ptype != @lease drop
 }
 chain outgoing {
  type filter hook output priority -400; policy accept;
  arp saddr ip 10.0.0.5 arp ptype != @lease drop
 }
}
"""
