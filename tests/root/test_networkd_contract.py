"""The fake host behaves as the real one: the same claims about both, by the API."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sys
from collections.abc import AsyncIterator
from ipaddress import IPv6Network
from pathlib import Path

import pytest
from nacl.signing import SigningKey

sys.path.insert(0, str(Path(__file__).parent))

from netns import join, node

from zos.bus import Unreachable
from zos.core0.api.core0_pb2_grpc import add_Core0Servicer_to_server
from zos.core0.service import Core0Service
from zos.model import names
from zos.networkd.api import (
    AddressTaken,
    BadTap,
    NetId,
    Network,
    NetworkdClient,
    NoMyceliumKey,
    NoSuchNetwork,
    Peer,
    Place,
    PortTaken,
    Tap,
    TapId,
    TapRoute,
)
from zos.networkd.api.check import public_key
from zos.networkd.daemon import Config, Networkd
from zos.networkd.fake import FakeHost
from zos.runtime.daemon import Daemon, Runtime
from zos.runtime.testing import running

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]

KEY, OTHER_KEY = ("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=")
PEERS = tuple(
    Peer(f"10.20.{n}.0/24", public_key(key), f"192.0.2.{n}:5000", (f"10.20.{n}.0/24", f"100.64.20.{n}/32"))
    for n, key in ((3, OTHER_KEY), (4, "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM="))
)
NETWORK = Network(NetId("B3gDSpMoHJXdF"), 26, "mynet", "10.20.0.0/16", "10.20.2.0/24", KEY, 4000, PEERS[:1])
SECOND = dataclasses.replace(
    NETWORK, id=NetId("Vp6mnP5Nd8BVD"), twin=1, listen_port=4001, private_key=OTHER_KEY, peers=()
)
TAP = Tap(TapId("AbE3zNtFw21Fr"), Place.NETWORK, "ee:5b:b5:ff:9b:4b", NETWORK.id, ip="10.20.2.5")


@dataclasses.dataclass(frozen=True)
class NoConfig:
    """No table in the configuration file."""


class Core0(Daemon):
    """core-0 as far as networkd asks it: the key."""

    name = "core0"
    config = NoConfig

    async def open(self, rt: Runtime) -> None:
        rt.serve(Core0Service(SigningKey(bytes(32)), list), add_Core0Servicer_to_server)


@contextlib.asynccontextmanager
async def real() -> AsyncIterator[NetworkdClient]:
    with node("c") as here, node("far") as far:
        join(here, far)
        here.sh("ip addr add 192.0.2.21/24 dev eth0; ip route add default via 192.0.2.1")
        here.supervised_networkd()
        async with here.bus() as bus:
            yield NetworkdClient(bus)


@contextlib.asynccontextmanager
async def fake(folder: Path) -> AsyncIterator[NetworkdClient]:
    async with (
        running(Core0, folder),
        running(Networkd, folder, host=FakeHost(), config=Config()) as rt,
    ):
        yield NetworkdClient(rt.bus)


@pytest.fixture(params=["fake", "real"])
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NetworkdClient]:
    async with fake(tmp_path) if request.param == "fake" else real() as client:
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(Unreachable):
                    uplinks = await client.uplinks()
                    if uplinks and uplinks[0].name == "zos" and uplinks[0].addresses:
                        break
                await asyncio.sleep(0.05)
        yield client


async def test_the_uplink_is_the_bridge_with_the_cards_address(client: NetworkdClient):
    bridge, card = await client.uplinks()
    assert (bridge.name, bridge.addresses) == ("zos", ("192.0.2.21/24",))
    assert (card.name, card.addresses, card.mac) == ("eth0", (), bridge.mac)


async def test_a_network_stands_as_it_was_wished(client: NetworkdClient):
    info = await client.ensure_network(NETWORK)
    assert (info.listen_port, info.public_key, info.detail) == (4000, public_key(KEY), "")
    assert [(peer.public_key, peer.endpoint) for peer in info.peers] == [(PEERS[0].public_key, "192.0.2.3:5000")]
    (listed,) = await client.list_networks()
    assert (listed.id, listed.namespace, listed.detail) == (NETWORK.id, f"n-{NETWORK.id}", "")


async def test_peers_come_and_go_and_the_port_moves(client: NetworkdClient):
    await client.ensure_network(NETWORK)
    info = await client.ensure_network(dataclasses.replace(NETWORK, listen_port=4007, peers=PEERS))
    assert info.listen_port == 4007
    assert {peer.public_key for peer in info.peers} == {peer.public_key for peer in PEERS}
    info = await client.ensure_network(dataclasses.replace(NETWORK, peers=PEERS[1:]))
    assert (info.listen_port, [peer.public_key for peer in info.peers]) == (4000, [PEERS[1].public_key])


async def test_a_network_joins_the_overlay_and_leaves_it(client: NetworkdClient):
    inside = dataclasses.replace(NETWORK, mycelium="548:c783:d7ce:74a3::/64")
    assert (await client.ensure_network(inside)).detail == ""
    seed = bytes.fromhex("0a0b0c0d0e0f")
    guest = Tap(TapId("FMM8nnDHtrTXn"), Place.MYCELIUM, "d2:e0:f7:d6:32:8d", NETWORK.id, seed=seed)
    for _ in range(2):
        info = await client.ensure_tap(guest)
        assert info.ip == "548:c783:d7ce:74a3:ff0f:a0b:c0d:e0f"
    with pytest.raises(AddressTaken):
        await client.ensure_tap(dataclasses.replace(guest, id=TapId("LGuiLd27LmXmK")))
    await client.drop_tap(guest.id)
    assert (await client.ensure_network(NETWORK)).detail == ""
    with pytest.raises(NoMyceliumKey):
        await client.ensure_tap(guest)
    assert (await client.ensure_network(inside)).detail == ""


async def test_a_changed_endpoint_is_told(client: NetworkdClient):
    await client.ensure_network(NETWORK)
    moved = dataclasses.replace(PEERS[0], endpoint="192.0.2.9:5009")
    info = await client.ensure_network(dataclasses.replace(NETWORK, peers=(moved,)))
    assert [peer.endpoint for peer in info.peers] == ["192.0.2.9:5009"]


async def test_a_new_key_of_the_node_is_taken_over(client: NetworkdClient):
    await client.ensure_network(dataclasses.replace(NETWORK, peers=()))
    info = await client.ensure_network(dataclasses.replace(NETWORK, private_key=OTHER_KEY, peers=()))
    assert info.public_key == public_key(OTHER_KEY)
    assert info.detail == ""


async def test_a_tap_is_there_until_it_is_dropped(client: NetworkdClient):
    await client.ensure_network(NETWORK)
    info = await client.ensure_tap(TAP)
    assert (info.device, info.bridge, info.rx, info.tx) == ("t-AbE3zNtFw21Fr", f"b-{NETWORK.id}", 0, 0)
    assert await client.ensure_tap(TAP) == info
    assert [tap.id for tap in await client.list_taps()] == [TAP.id]
    await client.drop_tap(TAP.id)
    assert await client.list_taps() == ()


async def test_what_is_taken_is_refused_and_nothing_changed(client: NetworkdClient):
    await client.ensure_network(NETWORK)
    await client.ensure_tap(TAP)
    with pytest.raises(PortTaken):
        await client.ensure_network(dataclasses.replace(SECOND, listen_port=4000))
    with pytest.raises(AddressTaken):
        await client.ensure_tap(dataclasses.replace(TAP, id=TapId("LGuiLd27LmXmK")))
    assert [network.id for network in await client.list_networks()] == [NETWORK.id]
    assert [tap.id for tap in await client.list_taps()] == [TAP.id]


async def test_two_networks_stand_beside_each_other_and_go_alone(client: NetworkdClient):
    await client.ensure_network(NETWORK)
    await client.ensure_network(SECOND)
    await client.drop_network(NETWORK.id)
    (left,) = await client.list_networks()
    assert (left.id, left.listen_port, left.detail) == (SECOND.id, 4001, "")
    with pytest.raises(NoSuchNetwork):
        await client.ensure_tap(TAP)


async def test_a_dropped_network_goes_with_its_last_tap(client: NetworkdClient):
    await client.ensure_network(NETWORK)
    await client.ensure_tap(TAP)
    await client.drop_network(NETWORK.id)
    assert len(await client.list_networks()) == 1
    await client.drop_tap(TAP.id)
    assert await client.list_networks() == ()


async def test_many_requests_at_once_do_not_disturb_each_other(client: NetworkdClient):
    networks = [
        dataclasses.replace(SECOND, id=NetId(f"Vp6mnP5Nd8BV{letter}"), listen_port=4100 + number)
        for number, letter in enumerate("ABCDEFGH")
    ]
    infos = await asyncio.gather(*(client.ensure_network(network) for network in networks))
    assert [info.listen_port for info in infos] == [network.listen_port for network in networks]
    assert not [info.detail for info in await client.list_networks() if info.detail]
    await asyncio.gather(*(client.drop_network(network.id) for network in networks))
    assert await client.list_networks() == ()


YGG = Tap(TapId("AA9j9eBFDtpjD"), Place.PLANETARY, "22:5b:7a:01:cd:70")


async def in_planetary(client: NetworkdClient) -> IPv6Network:
    """The node's part of the planetary network, once it knows it."""
    async with asyncio.timeout(20):
        while not (found := await client.planetary()).address:
            await asyncio.sleep(0.05)
    assert (found.offered, found.detail, found.peers) == (True, "", ())
    assert found.address[1:].startswith(found.subnet[1:].removesuffix("::/64")), "one key, one place"
    return IPv6Network(found.subnet)


async def test_a_planetary_tap_is_there_until_it_is_dropped(client: NetworkdClient):
    subnet = await in_planetary(client)
    info = await client.ensure_tap(YGG)
    assert (info.device, info.bridge) == ("t-AA9j9eBFDtpjD", "br-ygg")
    assert info.routes == (TapRoute("200::/7", str(subnet[1])),)
    assert info.addresses == (f"{names.planetary_guest(subnet, YGG.mac)}/64",)
    assert await client.ensure_tap(YGG) == info
    for _ in range(2):
        await client.drop_tap(YGG.id)
    assert await client.ensure_tap(YGG) == info


async def test_taps_of_both_kinds_stand_beside_each_other(client: NetworkdClient):
    await client.ensure_network(NETWORK)
    await asyncio.gather(client.ensure_tap(TAP), client.ensure_tap(YGG))
    assert {tap.id for tap in await client.list_taps()} == {TAP.id, YGG.id}
    await client.drop_tap(YGG.id)
    assert [tap.id for tap in await client.list_taps()] == [TAP.id]
    await client.drop_network(NETWORK.id)
    await client.ensure_tap(YGG)
    await client.drop_tap(TAP.id)
    assert await client.list_networks() == ()
    assert (await client.planetary()).offered


async def test_a_planetary_tap_that_cannot_be_is_refused(client: NetworkdClient):
    with pytest.raises(BadTap):
        await client.ensure_tap(dataclasses.replace(YGG, mac="ff:ff:ff:ff:ff:ff"))
    await client.ensure_tap(YGG)
    with pytest.raises(AddressTaken):
        await client.ensure_tap(dataclasses.replace(YGG, id=TAP.id))
