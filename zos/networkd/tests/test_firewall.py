"""The walls are there before anything of a tenant, and stay."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from zos.networkd.api import NetId, Network, NetworkdClient, NoFirewall, Place, Tap, TapId
from zos.networkd.daemon import Config, Networkd
from zos.networkd.fake import FakeHost
from zos.networkd.firewall import ObservedFirewall
from zos.networkd.steps import LoadRules
from zos.runtime.testing import running

KEY = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
NETWORK = Network(NetId("B3gDSpMoHJXdF"), 26, "mynet", "10.20.0.0/16", "10.20.2.0/24", KEY, 4000)
TAP = Tap(TapId("AbE3zNtFw21Fr"), Place.NETWORK, "ee:5b:b5:ff:9b:4b", NETWORK.id, ip="10.20.2.5")


@asynccontextmanager
async def networkd(folder: Path, host: FakeHost, every: float = 60) -> AsyncIterator[NetworkdClient]:
    async with running(Networkd, folder, host=host, config=Config(every=every)) as rt:
        yield NetworkdClient(rt.bus)


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not claim():
            await asyncio.sleep(0.01)


async def test_nothing_of_a_tenant_is_made_before_the_firewall_is_in_force(tmp_path: Path):
    host = FakeHost()
    host.broken = LoadRules
    async with networkd(tmp_path, host, every=0.05) as client:
        for asked in (client.ensure_network(NETWORK), client.ensure_tap(TAP)):
            with pytest.raises(NoFirewall, match="the node's firewall is not in force: the kernel refused"):
                await asked
        assert [step for step in host.steps if "-" in getattr(step, "link", "")] == []
        host.broken = None
        await until(lambda: f"b-{NETWORK.id}" in host.root.links)
    kinds = [type(step) for step in host.steps]
    assert kinds.index(LoadRules) == 0, "and it comes before anything of the node's own"


async def test_the_ports_of_wireguard_are_open_while_their_networks_are_there(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        await client.ensure_network(NETWORK)
        assert host.firewall.ports == {NETWORK.listen_port}
        await client.ensure_network(dataclasses.replace(NETWORK, listen_port=4009))
        assert host.firewall.ports == {4009}
        await client.drop_network(NETWORK.id)
        assert host.firewall.ports == frozenset()


async def test_a_firewall_that_somebody_flushed_is_loaded_again_with_ports_and_guards(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host, every=0.05) as client:
        await client.ensure_network(NETWORK)
        await client.ensure_tap(TAP)
        before, guards = host.firewall, dict(host.guarded)
        host.firewall = ObservedFirewall()
        host.guarded.clear()
        await until(lambda: (host.firewall, host.guarded) == (before, guards))
        host.guarded["t-LGuiLd27LmXmK"] = "of a tap that is gone"
        await until(lambda: host.guarded == guards)


async def test_what_has_lost_its_record_keeps_its_port_and_its_guard(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path / "before", host) as client:
        await client.ensure_network(NETWORK)
        await client.ensure_tap(TAP)
    ports, guards = host.firewall.ports, dict(host.guarded)
    async with networkd(tmp_path / "after", host, every=0.02) as client:
        await client.ensure_network(dataclasses.replace(NETWORK, id=NetId("Vp6mnP5Nd8BVD"), listen_port=4001))
        assert (host.firewall.ports, host.guarded) == (ports | {4001}, guards)
    async with running(Networkd, tmp_path / "spent", host=host, config=Config(every=0.02, spare=0)):
        await until(lambda: (host.firewall.ports, host.guarded) == (frozenset(), {}))
