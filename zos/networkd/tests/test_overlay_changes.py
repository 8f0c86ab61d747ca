"""What the grid's clients send: a new mycelium key with each update, and one seed for two machines."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from zos.networkd import layout
from zos.networkd.api import BadNetwork
from zos.networkd.api.types import TapId
from zos.networkd.fake import FakeHost
from zos.networkd.model import NetworkRecord
from zos.networkd.places.mycelium import PLACE
from zos.networkd.tests.test_mycelium import INSIDE, OTHER
from zos.networkd.tests.test_service import GUEST, NETWORK, networkd

NEWER = dataclasses.replace(INSIDE, mycelium="4aa:bbbb:cccc:dddd::/64")
FIRST = dataclasses.replace(GUEST, owner="vm1 of contract 7")
SECOND = dataclasses.replace(OTHER, seed=GUEST.seed, owner="vm2 of contract 8")


async def test_machines_keep_their_addresses_when_a_client_sends_another_key(tmp_path: Path) -> None:
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        await client.ensure_network(INSIDE)
        before = (await client.ensure_tap(FIRST)).addresses
        changed = dataclasses.replace(NEWER, listen_port=4001)
        info = await client.ensure_network(changed)
        assert (info.mycelium, info.listen_port) == (INSIDE.mycelium, 4001)
        assert NEWER.mycelium in info.detail
        assert (await client.ensure_tap(FIRST)).addresses == before
        with pytest.raises(BadNetwork, match="mynet: mycelium cannot be taken away while machines have addresses"):
            await client.ensure_network(NETWORK)
    async with networkd(tmp_path, host) as client:
        assert (await client.ensure_network(changed)).mycelium == INSIDE.mycelium
        await client.drop_tap(FIRST.id)
        info = await client.ensure_network(changed)
        assert (info.mycelium, info.detail) == (NEWER.mycelium, "")
        assert (await client.ensure_tap(FIRST)).addresses != before


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
    second = PLACE.admit(SECOND, INSIDE, [FIRST])
    guards = {one.device: one for one in layout.desired(NetworkRecord(INSIDE, 0), [FIRST, second]).guards}
    assert guards[f"t-{FIRST.id}"].ip6
    assert guards[f"t-{second.id}"].ip6 == ()
    (alone,) = layout.desired(NetworkRecord(INSIDE, 0), [second]).guards
    assert alone.ip6
