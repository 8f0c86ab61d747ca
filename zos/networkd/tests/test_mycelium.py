"""A network's part of the Mycelium overlay: its links, its rules, the machines in it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.networkd import layout, model
from zos.networkd.api import (
    MYCELIUM_DEVICE,
    AddressTaken,
    BadNetwork,
    BadTap,
    NoMyceliumKey,
    NoSuchNetwork,
    Tap,
    TapId,
    TapRoute,
)
from zos.networkd.fake import FakeHost
from zos.networkd.model import Address, Desired, NetworkRecord, Observed, Route
from zos.networkd.plan import plan
from zos.networkd.steps import CreateTun, DropLinks, DropTun, LoadRules, SetUp
from zos.networkd.tests.test_plan import ID, NETWORK, TAP
from zos.networkd.tests.test_service import GUEST, networkd

SUBNET = "548:c783:d7ce:74a3::/64"
INSIDE = dataclasses.replace(NETWORK, mycelium=SUBNET)
OTHER = dataclasses.replace(
    GUEST, id=TapId("LGuiLd27LmXmK"), mac="d2:e0:f7:d6:32:8e", seed=bytes.fromhex("010203040506")
)


def desired(*taps: Tap) -> Desired:
    return layout.desired(NetworkRecord(INSIDE, 0), (TAP, *taps))


async def observed(host: FakeHost) -> Observed:
    return await host.observe(ID, [model.tap(TAP.id), model.tap(GUEST.id)])


async def test_a_network_in_the_overlay_has_its_gateway_and_a_way_out():
    host = FakeHost.walled()
    await host.apply(plan(desired(GUEST), await observed(host), ID))
    assert plan(desired(GUEST), await observed(host), ID) == ()
    space = host.spaces[f"n-{ID}"]
    assert space.links["br-my"].addresses == {Address("548:c783:d7ce:74a3::1/64")}
    assert space.links[MYCELIUM_DEVICE].mtu == 1400
    assert Route("400::/7", MYCELIUM_DEVICE, ipv6=True) in space.routes
    assert host.root.links[f"t-{GUEST.id}"].master == host.root.links[f"y-{ID}"].master == f"m-{ID}"
    assert host.root.links[f"t-{TAP.id}"].master == f"b-{ID}"


async def test_rules_are_in_force_before_the_way_is_open():
    host = FakeHost.walled()
    steps = plan(desired(), await observed(host), ID)
    rules = next(number for number, step in enumerate(steps) if isinstance(step, LoadRules))
    assert all(number > rules for number, step in enumerate(steps) if isinstance(step, SetUp))


async def test_a_network_joins_and_leaves_the_overlay_and_the_rest_is_not_touched():
    host = FakeHost.walled()
    without = layout.desired(NetworkRecord(NETWORK, 0), (TAP,))
    await host.apply(plan(without, await observed(host), ID))
    before = await observed(host)
    await host.apply(plan(desired(), before, ID))
    assert plan(desired(), await observed(host), ID) == ()
    steps = plan(without, await observed(host), ID)
    assert [step for step in steps if isinstance(step, DropLinks | DropTun)] == [
        DropLinks((f"m-{ID}", f"y-{ID}")),
        DropTun(f"n-{ID}", MYCELIUM_DEVICE),
    ]
    await host.apply(steps)
    assert await observed(host) == before


async def test_a_device_that_is_gone_is_made_again():
    host = FakeHost.walled()
    await host.apply(plan(desired(), await observed(host), ID))
    await host.apply((DropTun(f"n-{ID}", MYCELIUM_DEVICE),))
    steps = plan(desired(), await observed(host), ID)
    assert steps[0] == CreateTun(f"n-{ID}", MYCELIUM_DEVICE)
    await host.apply(steps)
    assert plan(desired(), await observed(host), ID) == ()


@given(st.integers(0, 80), st.integers(0, 80))
async def test_from_any_interruption_the_way_leads_on_and_back(built_until: int, dropped_until: int):
    host, goal = FakeHost.walled(), desired(GUEST)
    await host.apply(plan(goal, await observed(host), ID)[:built_until])
    await host.apply(plan(None, await observed(host), ID)[:dropped_until])
    await host.apply(plan(goal, await observed(host), ID))
    assert plan(goal, await observed(host), ID) == ()
    await host.apply(plan(None, await observed(host), ID))
    assert set(host.root.links) == {"lo", "eth0"}
    assert not host.spaces


# By the API


async def test_a_machines_tap_says_what_its_guest_must_be_told(tmp_path: Path):
    host = FakeHost.walled()
    async with networkd(tmp_path, host) as client:
        await client.ensure_network(INSIDE)
        info = await client.ensure_tap(GUEST)
        assert info.addresses == ("548:c783:d7ce:74a3:ff0f:a0b:c0d:e0f/64",)
        assert info.routes == (TapRoute("400::/7", "548:c783:d7ce:74a3::1"),)
        assert (info.gateway, info.gateway6) == ("", "")
        assert (info.device, info.bridge, info.mac) == (f"t-{GUEST.id}", f"m-{ID}", GUEST.mac)
        await client.drop_tap(GUEST.id)
        assert f"t-{GUEST.id}" not in host.root.links
        assert f"m-{ID}" in host.root.links


async def test_a_dropped_network_waits_for_its_last_machine_in_the_overlay(tmp_path: Path):
    host = FakeHost.walled()
    async with networkd(tmp_path, host) as client:
        await client.ensure_network(INSIDE)
        await client.ensure_tap(GUEST)
        await client.drop_network(ID)
        assert f"n-{ID}" in host.spaces
        with pytest.raises(NoSuchNetwork):
            await client.ensure_tap(OTHER)
        await client.drop_tap(GUEST.id)
        assert not host.spaces
        assert set(host.root.links) == {"lo", "eth0", "zos"}


async def test_what_cannot_be_is_refused_and_changes_nothing(tmp_path: Path):
    async with networkd(tmp_path, FakeHost()) as client:
        for subnet in ("548:c783:d7ce:74a3::/63", "2001:db8::/64", "10.0.0.0/8", "nonsense", "548::1/64"):
            with pytest.raises(BadNetwork):
                await client.ensure_network(dataclasses.replace(NETWORK, mycelium=subnet))
        with pytest.raises(NoSuchNetwork):
            await client.ensure_tap(GUEST)
        await client.ensure_network(NETWORK)
        with pytest.raises(NoMyceliumKey):
            await client.ensure_tap(GUEST)
        await client.ensure_network(INSIDE)
        await client.ensure_tap(GUEST)
        with pytest.raises(AddressTaken):
            await client.ensure_tap(dataclasses.replace(OTHER, mac=GUEST.mac))
        with pytest.raises(BadTap):
            await client.ensure_tap(dataclasses.replace(OTHER, seed=b"short"))
        with pytest.raises(BadNetwork, match="machines have addresses"):
            await client.ensure_network(NETWORK)
        await client.ensure_tap(OTHER)


async def test_a_restart_finds_everything_and_touches_nothing(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        await client.ensure_network(INSIDE)
        await client.ensure_tap(GUEST)
    host.steps.clear()
    async with networkd(tmp_path, host) as client:
        await client.ensure_tap(GUEST)
    assert host.steps == []
