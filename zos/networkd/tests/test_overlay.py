"""The node has its own address in the Mycelium overlay, and keeps it while nobody says another."""

from __future__ import annotations

from zos.networkd.api.types import MYCELIUM_NODE_DEVICE as DEVICE
from zos.networkd.fake import FakeHost
from zos.networkd.model import Address
from zos.networkd.overlay import plan
from zos.networkd.overlay_manager import OverlayManager
from zos.networkd.steps import ROOT, AddAddress, DropAddress

FIRST, SECOND = "5a1:2:3:4::1", "5b1:2:3:4::1"


async def test_the_device_is_made_once_and_follows_the_address():
    host = FakeHost()
    said = FIRST

    async def address() -> str:
        return said

    manager = OverlayManager(host, address)
    await manager.reconcile()
    link = host.root.links[DEVICE]
    assert (link.up, {one.local for one in link.addresses}) == (True, {f"{FIRST}/128"})
    assert [route.dest for route in host.root.routes if route.link == DEVICE] == ["400::/7"]
    assert plan(FIRST, (await host.observe_node()).nics) == ()
    host.steps.clear()
    said = ""
    await manager.reconcile()
    assert not host.steps
    said = SECOND
    await manager.reconcile()
    assert host.steps[:2] == [
        DropAddress(ROOT, DEVICE, Address(f"{FIRST}/128")),
        AddAddress(ROOT, DEVICE, Address(f"{SECOND}/128")),
    ]
    assert plan(SECOND, (await host.observe_node()).nics) == ()
