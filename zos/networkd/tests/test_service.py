"""The daemon on a fake host: what callers see over a real socket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import json
import shutil
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from zos.networkd.api import (
    AddressTaken,
    Backend,
    BadNetwork,
    BadTap,
    KernelRefused,
    NetId,
    Network,
    NetworkdClient,
    NoSuchNetwork,
    Peer,
    Place,
    PortTaken,
    PublicConfig,
    Tap,
    TapId,
    TapRoute,
)
from zos.networkd.daemon import Config, Networkd
from zos.networkd.fake import FakeHost
from zos.networkd.manager import PUBLIC
from zos.networkd.model import UPLINK_BRIDGE, NetworkRecord
from zos.networkd.node import NicKind, ObservedNode, Public
from zos.networkd.removals import Removal
from zos.networkd.steps import ConfigureTunnel, CreateTap, DropLinks, DropNamespace, DropTunnel, LoadRules
from zos.networkd.taps import open_ledger
from zos.runtime.ledger import Ledger
from zos.runtime.testing import running


def key(number: int) -> str:
    return base64.b64encode(bytes([number]) * 32).decode()


PEER = Peer("10.20.3.0/24", key(3), "198.51.100.22:4000", ("10.20.3.0/24",))
NETWORK = Network(NetId("B3gDSpMoHJXdF"), 26, "mynet", "10.20.0.0/16", "10.20.2.0/24", key(1), 4000, (PEER,))
OTHER = dataclasses.replace(NETWORK, id=NetId("Vp6mnP5Nd8BVD"), twin=1, name="net", listen_port=4001)
TAP = Tap(TapId("AbE3zNtFw21Fr"), Place.NETWORK, "ee:5b:b5:ff:9b:4b", NETWORK.id, ip="10.20.2.5")
GUEST = Tap(
    TapId("FMM8nnDHtrTXn"),
    Place.MYCELIUM,
    "d2:e0:f7:d6:32:8d",
    NETWORK.id,
    seed=bytes.fromhex("0a0b0c0d0e0f"),
)
YGG = Tap(TapId("AA9j9eBFDtpjD"), Place.PLANETARY, "22:5b:7a:01:cd:70")


@asynccontextmanager
async def networkd(folder: Path, host: FakeHost, spare: float = 300.0) -> AsyncIterator[NetworkdClient]:
    async with running(Networkd, folder, host=host, config=Config(every=60, spare=spare)) as rt:
        yield NetworkdClient(rt.bus)


async def test_a_network_comes_up_and_says_how_it_stands(tmp_path: Path):
    async with networkd(tmp_path, FakeHost()) as client:
        info = await client.ensure_network(NETWORK)
        assert (info.namespace, info.bridge) == ("n-B3gDSpMoHJXdF", "b-B3gDSpMoHJXdF")
        assert (info.listen_port, info.backend, info.detail) == (4000, Backend.WIREGUARD_GO, "")
        assert [peer.public_key for peer in info.peers] == [key(3)]
        assert await client.list_networks() == (info,)


async def test_the_same_request_again_does_nothing(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        first = await client.ensure_network(NETWORK), await client.ensure_tap(TAP)
        done = len(host.steps)
        assert (await client.ensure_network(NETWORK), await client.ensure_tap(TAP)) == first
        assert len(host.steps) == done


async def test_a_tap_says_what_its_guest_must_be_told(tmp_path: Path):
    async with networkd(tmp_path, FakeHost()) as client:
        await client.ensure_network(NETWORK)
        tap = await client.ensure_tap(dataclasses.replace(TAP, ip="10.20.2.17"))
        assert (tap.device, tap.bridge, tap.ip) == ("t-AbE3zNtFw21Fr", "b-B3gDSpMoHJXdF", "10.20.2.17")
        assert tap.addresses == ("10.20.2.17/24", "fd42:3367:4453:2::11/64")
        assert (tap.gateway, tap.gateway6) == ("10.20.2.1", "fd42:3367:4453:2::1")
        assert tap.routes == (TapRoute("10.20.0.0/16", "10.20.2.1"), TapRoute("100.64.0.0/16", "10.20.2.1"))
        assert await client.list_taps() == (tap,)


async def test_two_tenants_with_the_same_range_get_different_ways_out(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        await client.ensure_network(NETWORK)
        await client.ensure_network(OTHER)
        outs = [host.spaces[f"n-{id}"].links["public"].addresses for id in (NETWORK.id, OTHER.id)]
        assert not outs[0] & outs[1]


async def test_refusals_arrive_as_the_class_that_was_raised(tmp_path: Path):
    async with networkd(tmp_path, FakeHost()) as client:
        with pytest.raises(BadNetwork):
            await client.ensure_network(dataclasses.replace(NETWORK, private_key="x"))
        with pytest.raises(NoSuchNetwork):
            await client.ensure_tap(TAP)
        await client.ensure_network(NETWORK)
        await client.ensure_tap(TAP)
        with pytest.raises(PortTaken):
            await client.ensure_network(dataclasses.replace(OTHER, listen_port=4000))
        with pytest.raises(AddressTaken):
            await client.ensure_tap(dataclasses.replace(TAP, id=TapId("LGuiLd27LmXmK")))
        assert len(await client.list_networks()) == len(await client.list_taps()) == 1


async def test_a_refused_update_leaves_the_network_as_it_was(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        before = await client.ensure_network(NETWORK)
        host.busy.add(5353)
        with pytest.raises(PortTaken):
            await client.ensure_network(dataclasses.replace(NETWORK, listen_port=5353))
        assert await client.list_networks() == (before,)
        assert await client.ensure_network(NETWORK) == before


async def test_a_network_that_cannot_be_built_now_stays_desired_and_comes(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        async with asyncio.timeout(5):
            while UPLINK_BRIDGE not in host.root.links:  # the firewall is in force before
                await asyncio.sleep(0.01)
        host.broken = LoadRules
        with pytest.raises(KernelRefused, match="the kernel refused to load rules"):
            await client.ensure_network(NETWORK)
        (waiting,) = await client.list_networks()
        assert "the kernel refused to load rules" in waiting.detail
        host.broken = None
        assert (await client.ensure_network(NETWORK)).detail == ""


async def test_a_tunnel_that_dies_is_back_by_itself(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        before = await client.ensure_network(NETWORK)
        host.end_tunnel(NETWORK.id)
        async with asyncio.timeout(5):
            while await client.list_networks() != (before,):
                await asyncio.sleep(0.01)


async def test_a_dropped_network_waits_for_its_last_tap(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        await client.ensure_network(NETWORK)
        await client.ensure_tap(TAP)
        await client.drop_network(NETWORK.id)
        assert "n-B3gDSpMoHJXdF" in host.spaces
        with pytest.raises(NoSuchNetwork):
            await client.ensure_tap(dataclasses.replace(TAP, id=TapId("LGuiLd27LmXmK"), ip="10.20.2.6"))
        await client.drop_tap(TAP.id)
        assert await client.list_networks() == ()
        assert not host.spaces
        assert set(host.root.links) == {"lo", "eth0", "zos"}


async def test_a_network_that_is_asked_for_again_before_its_last_tap_went_stays(tmp_path: Path):
    async with networkd(tmp_path, FakeHost()) as client:
        await client.ensure_network(NETWORK)
        await client.ensure_tap(TAP)
        await client.drop_network(NETWORK.id)
        await client.ensure_network(NETWORK)
        await client.drop_tap(TAP.id)
        assert len(await client.list_networks()) == 1


async def test_drops_are_safe_to_repeat_and_of_the_unknown(tmp_path: Path):
    async with networkd(tmp_path, FakeHost()) as client:
        await client.ensure_network(NETWORK)
        for _ in range(2):
            await client.drop_tap(TAP.id)
            await client.drop_network(NETWORK.id)


async def test_a_restart_finds_everything_and_touches_nothing(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        await client.ensure_network(NETWORK)
        tap = await client.ensure_tap(TAP)
    done = len(host.steps)
    async with networkd(tmp_path, host) as client:
        async with asyncio.timeout(5):
            while not await client.uplinks():
                await asyncio.sleep(0.01)
        assert await client.list_taps() == (tap,)
        assert (await client.ensure_network(NETWORK)).listen_port == 4000
    assert len(host.steps) == done


async def test_what_belongs_to_no_record_is_removed_at_start(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        await client.ensure_network(NETWORK)
        await client.ensure_tap(TAP)
    await host.apply([CreateTap("t-LGuiLd27LmXmK")])
    shutil.rmtree(tmp_path / "state")
    async with networkd(tmp_path, host, spare=0.0), asyncio.timeout(5):
        while set(host.root.links) != {"lo", "eth0", "zos"} or host.spaces or host.tunnels:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("lost", ["taps", "networks"])
async def test_lost_records_cut_no_guest_off_until_its_owner_has_asked_again(tmp_path: Path, lost: str):
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        await client.ensure_network(NETWORK)
        tap = await client.ensure_tap(TAP)
    device = next(name for name in host.root.links if name.startswith("t-"))
    (folder,) = (tmp_path / "state").glob(f"**/{lost}")
    shutil.rmtree(folder)
    before = len(host.steps)
    async with networkd(tmp_path, host) as client:
        await client.list_networks()
        await asyncio.sleep(0.3)  # the rounds of its start
        drops = (DropLinks, DropNamespace, DropTunnel)
        assert not [step for step in host.steps[before:] if isinstance(step, drops)]
        assert device in host.root.links
        await client.ensure_network(NETWORK)
        assert await client.ensure_tap(TAP) == tap
        assert await client.list_taps() == (tap,)
        assert not [step for step in host.steps[before:] if isinstance(step, drops)]


@pytest.mark.parametrize("step", [DropLinks, DropNamespace])
async def test_what_was_removed_on_purpose_is_not_spared_when_the_removal_was_cut_short(tmp_path: Path, step: type):
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        await client.ensure_network(NETWORK)
        await client.ensure_tap(TAP)
        await client.ensure_network(OTHER)
        host.broken = step
        with contextlib.suppress(KernelRefused):
            await client.drop_tap(TAP.id)
        with contextlib.suppress(KernelRefused):
            await client.drop_network(NETWORK.id)
        assert f"n-{NETWORK.id}" in host.spaces or "t-AbE3zNtFw21Fr" in host.root.links
    host.broken = None
    async with networkd(tmp_path, host), asyncio.timeout(5):
        while host.spaces.keys() != {f"n-{OTHER.id}"} or "t-AbE3zNtFw21Fr" in host.root.links:
            await asyncio.sleep(0.01)
        while list((tmp_path / "state/networkd/removed").iterdir()):
            await asyncio.sleep(0.01)


async def test_used_and_reserved_ports_are_listed(tmp_path: Path):
    host = FakeHost()
    host.busy.add(53)
    async with networkd(tmp_path, host) as client:
        await client.ensure_network(NETWORK)
        assert {53, 443, 4000, 9651} <= set(await client.wg_ports())


async def test_uplinks_are_the_bridge_with_the_address_then_the_card(tmp_path: Path):
    async with networkd(tmp_path, FakeHost()) as client:
        async with asyncio.timeout(5):
            while len(found := await client.uplinks()) < 2 or not found[0].addresses or found[1].addresses:
                await asyncio.sleep(0.01)
        assert [(uplink.name, uplink.addresses) for uplink in found] == [("zos", ("192.0.2.21/24",)), ("eth0", ())]


async def test_one_network_that_fails_does_not_keep_others_waiting(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        await client.ensure_network(NETWORK)
        host.broken = ConfigureTunnel
        with pytest.raises(KernelRefused):
            await client.ensure_network(OTHER)
        assert (await client.ensure_tap(TAP)).device == "t-AbE3zNtFw21Fr"


async def test_keys_are_in_files_that_only_root_reads(tmp_path: Path):
    async with networkd(tmp_path, FakeHost()) as client:
        await client.ensure_network(NETWORK)
    for path in (tmp_path / "state").rglob("*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


async def test_a_tap_does_not_change_its_place(tmp_path: Path):
    async with networkd(tmp_path, FakeHost()) as client:
        await client.ensure_network(NETWORK)
        info = await client.ensure_tap(TAP)
        with pytest.raises(BadTap, match="place is network"):
            await client.ensure_tap(Tap(TAP.id, Place.PLANETARY, TAP.mac))
        assert await client.list_taps() == (info,)


async def test_a_place_that_a_newer_caller_knows_is_refused_by_name(tmp_path: Path):
    async with networkd(tmp_path, FakeHost()) as client:
        with pytest.raises(BadTap, match="'moon'"):
            await client.ensure_tap(dataclasses.replace(TAP, place="moon"))  # type: ignore[arg-type]


FOREVER = Path(__file__).parent / "ledger"


def lay(state: Path, version: str) -> None:
    """Write the ledgers that a release of this version left."""
    for name, records in json.loads((FOREVER / f"{version}.json").read_text()).items():
        (state / name).mkdir(parents=True)
        for record in records if isinstance(records, list) else [records]:
            (state / name / f"{record['key']}.json").write_text(json.dumps(record))


def test_ledgers_of_version_1_are_read(tmp_path: Path):
    lay(tmp_path, "v1")
    assert Ledger(tmp_path / "networks", NetworkRecord).get(NETWORK.id) == NetworkRecord(NETWORK, slot=7)


async def test_an_upgraded_node_knows_its_public_addresses_and_what_it_removes(tmp_path: Path):
    state = tmp_path / "state/networkd"
    for name in ("public", "removed"):
        (state / name).mkdir(parents=True)
        shutil.copy(FOREVER / f"{name}-v1.json", state / name / "record.json")
    public = PublicConfig("185.206.122.33/24", "185.206.122.1", "2a10:b600::33/64", "2a10:b600::1", "gw.example.com")
    assert Ledger(state / "public", Public).get(PUBLIC) == Public(public, ("185.206.122.32/24",))
    assert Ledger(state / "removed", Removal).get("t-AbE3zNtFw21Fr") == Removal()
    async with networkd(tmp_path, FakeHost()) as client:
        assert await client.public_config() == public


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_an_upgraded_node_keeps_the_taps_of_all_places(tmp_path: Path, version: str):
    state = tmp_path / "state/networkd"
    lay(state, version)
    async with running(Networkd, tmp_path, host=FakeHost(), config=Config(every=60)) as rt:
        assert rt.state_dir == state
        taps = open_ledger(rt)
        assert set(taps.items()) == {(tap.id, tap) for tap in (TAP, GUEST, YGG)}
    assert sorted(path.name for path in state.iterdir() if path.is_dir()) == [
        *("networks", "public", "removed", "taps")
    ]


async def test_a_killed_upgrade_goes_on_where_it_was(tmp_path: Path):
    state = tmp_path / "state/networkd"
    lay(state, "v1")
    former = state / f"mycelium/{GUEST.id}.json"
    before = former.read_text()
    async with running(Networkd, tmp_path, host=FakeHost(), config=Config(every=60)):
        pass
    former.parent.mkdir()
    former.write_text(before)
    async with running(Networkd, tmp_path, host=FakeHost(), config=Config(every=60)) as rt:
        assert {tap.id for _, tap in open_ledger(rt).items()} == {TAP.id, GUEST.id, YGG.id}


class SleepingHost(FakeHost):
    """A machine that booted just now: its card shows its carrier when it is up."""

    async def observe_node(self) -> ObservedNode:
        seen = await super().observe_node()
        cards = {name: nic for name, nic in seen.nics.items() if nic.kind is NicKind.CARD}
        nics = {name: dataclasses.replace(nic, carrier=nic.up) for name, nic in cards.items()}
        return dataclasses.replace(seen, nics={**seen.nics, **nics})


async def test_a_card_that_was_asleep_becomes_the_uplink_at_once(tmp_path: Path):
    host = SleepingHost()
    host.root.links["eth0"] = dataclasses.replace(host.root.links["eth0"], up=False)
    async with networkd(tmp_path, host):
        async with asyncio.timeout(5):
            while host.root.links["eth0"].master != UPLINK_BRIDGE:
                await asyncio.sleep(0.01)
