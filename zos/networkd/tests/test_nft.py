"""Rulesets, compared with files that are read in review (ZOS_GOLDEN=write makes them anew)."""

from __future__ import annotations

import dataclasses
import os
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from zos.networkd import layout, nft, node
from zos.networkd.api import NetId, Network
from zos.networkd.places import planetary

NETWORK = Network(NetId("B3gDSpMoHJXdF"), 26, "mynet", "10.20.0.0/16", "10.20.2.0/24", "", 4000)
TAPS = (
    ("t-AA9j9eBFDtpjD", "22:5b:7a:01:cd:70", IPv6Address("306:2f7c:2006:18f7:9434:8c5a:8a20:97d0")),
    ("t-AbE3zNtFw21Fr", "ee:5b:b5:ff:9b:4b", IPv6Address("306:2f7c:2006:18f7::b")),
)
TABLE = planetary.PLACE.table
GOLDEN = Path(__file__).resolve().parents[3] / "tests/golden/networkd"


@pytest.mark.parametrize(
    ("name", "ruleset"),
    [
        ("resource.nft", layout.rules(NETWORK)),
        ("resource-mycelium.nft", layout.rules(dataclasses.replace(NETWORK, mycelium="548:c783:d7ce:74a3::/64"))),
        ("root-lan.nft", node.rules(["192.168.1.21/24", "fd12::5/64", "2001:db8::5/64"])),
        ("root-internet.nft", node.rules(["198.51.100.21/24"])),
        ("planetary.nft", planetary.rules(TAPS, TABLE)),
    ],
)
def test_the_rules_are_the_reviewed_ones(name: str, ruleset: str):
    if os.environ.get("ZOS_GOLDEN") == "write":
        (GOLDEN / name).write_text(ruleset)
    assert ruleset == (GOLDEN / name).read_text()


def test_the_digest_follows_the_rules():
    assert nft.digest(node.rules([])) == nft.digest(node.rules(["198.51.100.21/24"])), "a public prefix is no LAN"
    assert nft.digest(node.rules([])) != nft.digest(node.rules(["10.0.0.5/8"]))
    assert len(nft.digest(layout.rules(NETWORK))) == 24
    assert nft.digest("") == ""


def test_a_table_that_is_there_is_replaced_in_the_same_transaction():
    rules = node.rules([])
    assert nft.replacing(rules) == f"table inet zos\ndelete table inet zos\n{rules}"
    assert nft.digest(nft.replacing(rules)) == nft.digest(rules)


def test_the_planetary_rules_do_not_depend_on_the_order_of_taps():
    assert planetary.rules(TAPS, TABLE) == planetary.rules(reversed(TAPS), TABLE) != planetary.rules(TAPS[:1], TABLE)
    assert "vmap" not in planetary.rules((), TABLE)
