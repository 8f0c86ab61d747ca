"""Which public addresses of a node the chain takes."""

from __future__ import annotations

from typing import Any

import pytest

from zos.devchain.errors import Refusal
from zos.devchain.tests.billing import FARMER, world

GOOD = {"ip4": {"ip": b"185.69.166.2/24", "gw": b"185.69.166.1"}, "ip6": None, "domain": None}


def config(made: Any, **ip6: bytes) -> None:
    wanted = {**GOOD, "ip6": ip6 or None}
    made.call(FARMER, "TfgridModule.add_node_public_config", farm_id=1, node_id=1, public_config=wanted)


def test_an_ipv6_address_is_one_with_prefix_and_a_gateway_in_it() -> None:
    made = world()
    config(made)
    config(made, ip=b"2a10:b600:1::2/64", gw=b"2a10:b600:1::1")
    for ip, gw in (
        (b"nonsense", b"2a10:b600:1::1"),
        (b"2a10:b600:1::2", b"2a10:b600:1::1"),
        (b"2a10:b600:1::2/64", b"2a10:b600:2::1"),
        (b"fd00::2/64", b"fd00::1"),
        (b"185.69.166.2/24", b"185.69.166.1"),
    ):
        with pytest.raises(Refusal, match="InvalidPublicConfig"):
            config(made, ip=ip, gw=gw)
