"""Rulesets, compared with files that are read in review (ZOS_GOLDEN=write makes them anew)."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from zos.networkd import check, firewall, layout, nft
from zos.networkd.api import NetId, Network
from zos.networkd.firewall import Openings
from zos.networkd.firewall import inet_table as inet
from zos.networkd.guard import Guard
from zos.runtime.config import BadConfig

NETWORK = Network(NetId("B3gDSpMoHJXdF"), 26, "mynet", "10.20.0.0/16", "10.20.2.0/24", "", 4000)
GUARDS = (
    Guard("t-AA9j9eBFDtpjD", "22:5b:7a:01:cd:70", "10.20.2.5", ("fd42:3367:4453:2::5",)),
    Guard("t-AbE3zNtFw21Fr", "ee:5b:b5:ff:9b:4b", ip6=("306:2f7c:2006:18f7::b",), node=True),
)
OPENINGS = Openings(("tcp/22", "udp/6000-6010"), ("198.51.100.0/24", "fd12::/64"))
GOLDEN = Path(__file__).resolve().parents[3] / "tests/golden/networkd"


@pytest.mark.parametrize(
    ("name", "ruleset"),
    [
        ("resource.nft", layout.rules(NETWORK)),
        ("resource-mycelium.nft", layout.rules(dataclasses.replace(NETWORK, mycelium="548:c783:d7ce:74a3::/64"))),
        ("root-lan.nft", inet(["192.168.1.21/24", "fd12::5/64", "2001:db8::5/64"], "eth0")),
        ("root-internet.nft", inet(["198.51.100.21/24"], "eth0", OPENINGS)),
        ("root-bridge.nft", firewall.bridge_table("eth0")),
        ("guards.nft", firewall.guarding(GUARDS)),
    ],
)
def test_the_rules_are_the_reviewed_ones(name: str, ruleset: str):
    if os.environ.get("ZOS_GOLDEN") == "write":
        (GOLDEN / name).write_text(ruleset)
    assert ruleset == (GOLDEN / name).read_text()


def test_the_digest_follows_the_rules():
    assert nft.digest(inet(["10.0.0.5/8"])) == nft.digest(inet(["10.9.0.5/8", "10.0.0.0/8"])), "it is closed anyway"
    assert nft.digest(inet([])) != nft.digest(inet(["10.0.0.5/8"])), "without an address all is closed"
    assert nft.digest(inet(["10.0.0.5/8"])) != nft.digest(inet(["10.0.0.5/8", "198.51.100.21/24"]))
    assert len(nft.digest(layout.rules(NETWORK))) == 24
    assert nft.digest("") == ""


def test_a_table_that_is_there_is_replaced_in_the_same_transaction():
    rules = inet([])
    assert nft.replacing(rules) == f"table inet zos\ndelete table inet zos\n{rules}"
    assert nft.digest(nft.replacing(rules)) == nft.digest(rules)


def test_a_family_without_an_address_is_closed_whole():
    assert "elements = { 0.0.0.0/0 }" in inet(["127.0.0.1/8", "2001:db8::5/64"])
    assert "elements = { ::/0 }" in inet(["192.0.2.1/24", "fe80::/64", "fd00::1/64"])


def test_a_guard_that_differs_has_another_digest():
    one = GUARDS[0]
    others = [
        dataclasses.replace(one, ip4="10.20.2.6"),
        dataclasses.replace(one, mac="22:5b:7a:01:cd:71"),
        dataclasses.replace(one, ip6=()),
        dataclasses.replace(one, node=True),
    ]
    assert len({one.digest, *(other.digest for other in others)}) == 5


@pytest.mark.parametrize("text", ["", "22", "tcp/", "tcp/0", "tcp/65536", "icmp/1", "tcp/9-3", "tcp/22;accept"])
def test_a_port_that_is_none_is_refused(text: str):
    with pytest.raises(BadConfig, match="tcp/PORT"):
        check.ports("accept", [text])


def test_a_prefix_that_is_none_is_refused():
    assert check.prefixes("open", ["192.0.2.0/24", "fd00::/8"]) == ("192.0.2.0/24", "fd00::/8")
    with pytest.raises(BadConfig, match="open"):
        check.prefixes("open", ["192.0.2.1/24"])
