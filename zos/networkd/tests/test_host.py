"""What the real host reads and writes as text or bytes, without a kernel."""

from __future__ import annotations

import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.networkd.api import NoNftables
from zos.networkd.api.types import Backend
from zos.networkd.host import libnftables, netlink, nftables, rtnl, wireguard
from zos.networkd.model import ObservedPeer
from zos.networkd.steps import ConfigureTunnel, PutPeer
from zos.runtime.threads import CallTooSlow

DUMP = (
    "PRIVATE\tOWN\t4000\toff\n"
    "A\t(none)\t198.51.100.22:4000\t10.20.3.0/24,100.64.20.3/32\t1000\t5\t6\t20\n"
    "B\t(none)\t(none)\t(none)\t0\t0\t0\toff\n"
)


def test_a_dump_is_read_without_its_private_key():
    seen = wireguard.parse(DUMP, Backend.KERNEL, {"A": "198.51.100.22:4000"}, now=1100.0)
    assert seen.public_key == "OWN"
    assert seen.listen_port == 4000
    allowed = frozenset({"10.20.3.0/24", "100.64.20.3/32"})
    assert seen.peers["A"] == ObservedPeer(
        "A", "198.51.100.22:4000", allowed, 20, True, "198.51.100.22:4000", 1000.0, 5, 6
    )
    assert seen.peers["B"] == ObservedPeer("B", "", frozenset(), 0)
    assert "PRIVATE" not in repr(seen)


def test_an_old_handshake_is_no_life():
    assert not wireguard.parse(DUMP, Backend.KERNEL, {}, now=1181.0).peers["A"].alive


def test_a_tunnel_without_a_key_says_so():
    assert wireguard.parse("(none)\t(none)\t0\toff\n", Backend.KERNEL, {}, 0.0).public_key == ""


def test_only_what_is_new_is_told():
    step = ConfigureTunnel("w-x", "n-x", listen_port=4001, put=(PutPeer("A", ("10.20.3.0/24", "10.20.4.0/24"), ""),))
    assert wireguard.render(step) == (
        "[Interface]\nListenPort = 4001\n"
        "[Peer]\nPublicKey = A\nAllowedIPs = 10.20.3.0/24, 10.20.4.0/24\nPersistentKeepalive = 20\n"
    )


@given(st.dictionaries(st.integers(1, 200), st.binary(max_size=40)))
def test_attributes_come_back_as_packed(values: dict[int, bytes]):
    packed = b"".join(netlink.attr(kind, value) for kind, value in values.items())
    assert netlink.attrs(packed) == values
    assert len(packed) % 4 == 0


@given(st.binary(max_size=64))
def test_torn_attributes_never_raise_or_hang(data: bytes):
    netlink.attrs(data)
    nftables._comment(data)


def test_a_pairs_far_end_is_named_inside_the_message():
    body = rtnl.create_veth("v-x", "n-x", 7).body
    assert b"v-x\0" in body
    assert b"n-x\0" in body
    assert struct.pack("=HHI", 8, 28, 7) in body


def test_a_missing_library_names_the_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(libnftables, "LIBRARY", "libnftables.so.0")
    libnftables._library.cache_clear()
    with pytest.raises(NoNftables, match=r"libnftables\.so\.0 is missing, which the package nftables brings"):
        libnftables.Connection()


def test_a_transaction_that_does_not_come_back_is_waited_for_so_long(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(libnftables, "DEADLINE", 0.05)
    hung, over = threading.Event(), threading.Event()

    def hang() -> None:
        with libnftables.turn():
            hung.set()
            over.wait(10)

    thread = threading.Thread(target=hang)
    thread.start()
    hung.wait(10)
    with pytest.raises(CallTooSlow), libnftables.turn():
        pass
    over.set()
    thread.join(10)
    with libnftables.turn():
        pass
