"""What the grid's clients send: a new mycelium key with each update, and one seed for two machines."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv6Interface, IPv6Network
from pathlib import Path

import pytest

from zos.model.mycelium import gateway
from zos.networkd import layout
from zos.networkd.api import BadNetwork
from zos.networkd.api.types import TapId
from zos.networkd.fake import FakeHost
from zos.networkd.model import NetworkRecord
from zos.networkd.places.mycelium import PLACE
from zos.networkd.tests.test_mycelium import INSIDE, OTHER
from zos.networkd.tests.test_plan import ID
from zos.networkd.tests.test_service import GUEST, NETWORK, networkd

NEWER = dataclasses.replace(INSIDE, mycelium="4aa:bbbb:cccc:dddd::/64")
SUBNETS = (INSIDE.mycelium, NEWER.mycelium)
FIRST = dataclasses.replace(GUEST, owner="vm1 of contract 7")
SECOND = dataclasses.replace(OTHER, seed=GUEST.seed, owner="vm2 of contract 8")


async def test_machines_keep_their_addresses_when_a_client_sends_another_key(tmp_path: Path) -> None:
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        await client.ensure_network(INSIDE)
        before = (await client.ensure_tap(FIRST)).addresses
        changed = dataclasses.replace(NEWER, listen_port=4001)
        info = await client.ensure_network(changed)
        assert (info.mycelium, info.former, info.listen_port) == (NEWER.mycelium, (INSIDE.mycelium,), 4001)
        assert (await client.ensure_tap(FIRST)).addresses == before
        (address,) = (await client.ensure_tap(OTHER)).addresses
        assert IPv6Interface(address).network == IPv6Network(NEWER.mycelium)
        gateways = host.spaces[f"n-{ID}"].links["br-my"].addresses
        assert {one.local for one in gateways} == {f"{gateway(IPv6Network(one))}/64" for one in SUBNETS}
        with pytest.raises(BadNetwork, match="mynet: mycelium cannot be taken away while machines have addresses"):
            await client.ensure_network(NETWORK)
    async with networkd(tmp_path, host) as client:
        assert (await client.ensure_network(changed)).former == (INSIDE.mycelium,)
        await client.drop_tap(FIRST.id)
        (info,) = await client.list_networks()
        assert (info.mycelium, info.former, info.detail) == (NEWER.mycelium, (), "")
        assert (await client.ensure_tap(FIRST)).addresses != before


async def test_a_tap_of_an_earlier_release_is_in_the_subnet_that_its_network_had(tmp_path: Path) -> None:
    async with networkd(tmp_path, FakeHost()) as client:
        await client.ensure_network(INSIDE)
        before = (await client.ensure_tap(FIRST)).addresses
    (path,) = tmp_path.rglob(f"taps/{FIRST.id}.json")
    text = path.read_text()
    assert INSIDE.mycelium in text
    path.write_text(text.replace(f'"{INSIDE.mycelium}"', '""'))
    async with networkd(tmp_path, FakeHost()) as client:
        assert (await client.ensure_network(NEWER)).former == (INSIDE.mycelium,)
        (tap,) = await client.list_taps()
        assert tap.addresses == before


async def test_a_second_machine_of_a_seed_waits(tmp_path: Path) -> None:
    for second in (SECOND, dataclasses.replace(SECOND, id=TapId("2" * 13))):
        folder = tmp_path / second.id[:4]
        async with networkd(folder, FakeHost()) as client:
            await client.ensure_network(INSIDE)
            first = await client.ensure_tap(FIRST)
            assert first.detail == ""
            told = await client.ensure_tap(second)
            assert told.addresses == first.addresses
            assert "is the address of vm1 of contract 7" in told.detail
            assert (await client.ensure_tap(FIRST)).detail == ""
            await client.drop_tap(FIRST.id)
            assert (await client.ensure_tap(second)).detail == ""
            assert "vm2 of contract 8" in (await client.ensure_tap(FIRST)).detail


def test_who_waits_for_an_address_may_not_speak_from_it() -> None:
    first = PLACE.admit(FIRST, INSIDE, [])
    second = PLACE.admit(SECOND, INSIDE, [first])
    guards = {one.device: one for one in layout.desired(NetworkRecord(INSIDE, 0), [first, second]).guards}
    assert guards[f"t-{FIRST.id}"].ip6
    assert guards[f"t-{second.id}"].ip6 == ()
    (alone,) = layout.desired(NetworkRecord(INSIDE, 0), [second]).guards
    assert alone.ip6


def test_machines_of_two_keys_reach_each_other_and_nobody_outside_is_one_of_them() -> None:
    both = layout.rules(dataclasses.replace(NEWER, former=(INSIDE.mycelium,)))
    assert 'iifname "br-my" oifname "br-my" accept' in both
    assert f'iifname "my" ip6 saddr {{ {NEWER.mycelium}, {INSIDE.mycelium} }} counter drop' in both
    assert 'oifname "br-my" accept' not in layout.rules(NEWER).replace('iifname "my" oifname "br-my" accept', "")
