"""The uplink moves to the bridge and the node never loses its address."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.networkd import check, node
from zos.networkd.api import BadPublicConfig, NoUplink, PublicConfig
from zos.networkd.fake import FakeHost
from zos.networkd.model import UPLINK_BRIDGE, Address, Route
from zos.networkd.node import LEAST, DesiredNode, Nic, NicKind, ObservedNode, Public, plan
from zos.networkd.steps import (
    ROOT,
    AddAddress,
    Attach,
    CreateBridge,
    DropAddress,
    PutRoute,
    SetSysctl,
    SetUp,
    StartDhcp,
)

CARD = Nic(NicKind.CARD, mac="02:00:00:00:00:21", up=True, carrier=True)


async def test_the_bridge_takes_over_hardware_address_address_and_route():
    host = FakeHost()
    await host.apply(node.plan(DesiredNode(), await host.observe_node()))
    bridge, card = host.root.links["zos"], host.root.links["eth0"]
    assert bridge.mac == card.mac == "02:00:00:00:00:21"
    assert bridge.addresses == {Address("192.0.2.21/24")}
    assert card.master == "zos"
    assert card.addresses == frozenset()
    assert host.root.routes == {Route("default", "zos", "192.0.2.1")}
    assert node.plan(DesiredNode(), await host.observe_node()) == ()


@given(st.integers(0, 30))
async def test_at_every_moment_somebody_has_the_address_and_the_route(crash_after: int):
    host = FakeHost()
    for step in node.plan(DesiredNode(), await host.observe_node())[:crash_after]:
        await host.apply([step])
        links = host.root.links.values()
        assert any(Address("192.0.2.21/24") in link.addresses for link in links), step
        assert any(route.dest == "default" for route in host.root.routes), step
    await host.apply(node.plan(DesiredNode(), await host.observe_node()))
    assert host.root.links["zos"].addresses == {Address("192.0.2.21/24")}
    assert host.root.routes == {Route("default", "zos", "192.0.2.1")}
    assert node.plan(DesiredNode(), await host.observe_node()) == ()


async def test_configured_addresses_and_gateways_win_over_the_cards():
    desired = DesiredNode("eth0", ("198.51.100.21/24",), ("198.51.100.1",))
    host = FakeHost()
    steps = node.plan(desired, await host.observe_node())
    assert AddAddress(ROOT, "zos", Address("198.51.100.21/24")) in steps
    assert PutRoute(ROOT, Route("default", "zos", "198.51.100.1")) in steps
    assert DropAddress(ROOT, "eth0", Address("192.0.2.21/24")) in steps
    await host.apply(steps)
    assert node.plan(desired, await host.observe_node()) == ()


async def test_without_any_address_a_dhcp_client_is_started_once():
    host = FakeHost(address="", gateway="")
    steps = node.plan(DesiredNode(), await host.observe_node())
    assert StartDhcp("zos") in steps
    await host.apply(steps)
    assert node.plan(DesiredNode(), await host.observe_node()) == ()


def test_the_uplink_is_the_one_named_then_the_one_chosen_before_then_the_best():
    away = Nic(NicKind.CARD, carrier=False)
    routed = Nic(NicKind.CARD, carrier=True, routes=frozenset({Route("default", "eth2", "192.0.2.1")}))
    tenants = {"b-B3gDSpMoHJXdF": CARD, "x-B3gDSpMoHJXdF": CARD, "t-B3gDSpMoHJXdF": CARD}
    nics = {"eth0": away, "eth1": CARD, "eth2": routed, **tenants}
    assert node.choose(DesiredNode(), nics) == "eth2"
    assert node.choose(DesiredNode("eth1"), nics) == "eth1"
    taken = Nic(NicKind.CARD, carrier=False, master="zos")
    assert node.choose(DesiredNode(), {**nics, "eth3": taken}) == "eth3"
    assert node.choose(DesiredNode(), {"eth0": away, **tenants}) is None


def test_a_named_uplink_that_is_not_there_is_said():
    with pytest.raises(NoUplink, match="there is no link eth7"):
        node.plan(DesiredNode("eth7"), ObservedNode({"eth0": CARD}))


def test_sleeping_cards_are_woken_before_their_carrier_is_judged():
    asleep = Nic(NicKind.CARD)
    assert node.plan(DesiredNode(), ObservedNode({"eth0": asleep})) == (SetUp(ROOT, "eth0"),)
    with pytest.raises(NoUplink, match="no network card has a carrier"):
        node.plan(DesiredNode(), ObservedNode({"eth0": Nic(NicKind.CARD, up=True)}))


def test_a_bridge_that_is_there_is_not_made_again():
    bridge = Nic(NicKind.BRIDGE, up=True)
    steps = node.plan(DesiredNode(), ObservedNode({"eth0": CARD, "zos": bridge}))
    assert not any(isinstance(step, CreateBridge) for step in steps)
    assert Attach("eth0", "zos") in steps


PUBLIC = PublicConfig("192.0.1.21/24", "192.0.1.254", "2001:db8:1::21/64", "", "node.example")


def test_limits_of_the_machine_are_raised_and_never_lowered() -> None:
    (key, least), *_ = LEAST.items()
    nics = {"eth0": Nic(NicKind.CARD, "02:00:00:00:00:21", True, True, addresses=frozenset({"192.0.2.21/24"}))}

    def raised(value: int) -> bool:
        steps = plan(DesiredNode(), ObservedNode(nics, {key: str(value)}))
        return SetSysctl("", key, str(least)) in steps

    assert raised(least - 1)
    assert not raised(least)
    assert not raised(2 * least)
    assert not any(isinstance(one, SetSysctl) and one.key == key for one in plan(DesiredNode(), ObservedNode(nics)))


async def test_public_addresses_stand_beside_the_nodes_own_and_go_when_they_are_set_no_more() -> None:
    host = FakeHost()
    before = DesiredNode()
    await host.apply(node.plan(before, await host.observe_node()))
    own = (await host.observe_node()).nics[UPLINK_BRIDGE].addresses
    after = DesiredNode(public=Public(PUBLIC))
    await host.apply(node.plan(after, await host.observe_node()))
    assert (await host.observe_node()).nics[UPLINK_BRIDGE].addresses == own | {*PUBLIC.addresses}
    assert node.plan(after, await host.observe_node()) == ()
    gone = DesiredNode(public=Public(PublicConfig(), PUBLIC.addresses))
    await host.apply(node.plan(gone, await host.observe_node()))
    assert (await host.observe_node()).nics[UPLINK_BRIDGE].addresses == own
    assert node.plan(gone, await host.observe_node()) == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ip4", "192.0.1.21"),
        ("ip4", "fe80::1/64"),
        ("ip4", "x"),
        ("ip6", "192.0.1.21/24"),
        ("gw4", "::1"),
        ("gw6", "y"),
    ],
)
def test_a_public_configuration_that_cannot_be_names_its_field(field: str, value: str) -> None:
    with pytest.raises(BadPublicConfig, match=field):
        check.canonical_public(dataclasses.replace(PUBLIC, **{field: value}))
