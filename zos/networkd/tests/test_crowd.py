"""Networks without machines give way when a node has as many as it builds, and come back."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable
from pathlib import Path

import pytest

from zos.errors import ZosError
from zos.model.names import net_id
from zos.networkd import crowd, model
from zos.networkd.api import NetId, Network, NetworkdClient, TapId
from zos.networkd.crowd import KEPT, QUIET, give_way
from zos.networkd.fake import FakeHost
from zos.networkd.manager import PARKED
from zos.networkd.model import NetworkRecord
from zos.networkd.tests.test_service import NETWORK, TAP, key, networkd


def one(number: int, twin: int) -> Network:
    name, own = f"n{number}", 100 * twin + number
    return dataclasses.replace(
        NETWORK,
        id=NetId(net_id(twin, name)),
        twin=twin,
        name=name,
        listen_port=4000 + own,
        private_key=key(own % 200 + 9),
    )


def records(*counts: tuple[int, int]) -> list[NetworkRecord]:
    """So many networks of each twin."""
    return [NetworkRecord(one(number, twin), 0) for twin, count in counts for number in range(count)]


def quiet(networks: Iterable[NetworkRecord], seconds: float = QUIET) -> dict[NetId, float]:
    return {record.network.id: seconds for record in networks}


def test_six_twins_that_have_all_networks_keep_nobody_else_from_one() -> None:
    found = records(*((twin, 43) for twin in range(1, 6)), (6, 41))
    assert len(found) == model.MOST_NETWORKS
    gone = give_way(one(0, 26), found, (), {}, 1)
    assert gone is not None
    assert gone.network.twin in range(1, 6)


def test_what_is_used_stays_and_so_does_what_belongs_to_who_has_no_more() -> None:
    found = records(*((twin, KEPT) for twin in range(1, 33)))
    assert len(found) == model.MOST_NETWORKS
    new, ids = one(0, 40), {record.network.id for record in found}
    with pytest.raises(ZosError, match="n0: this node has 256 networks of all twins, and takes no more"):
        give_way(new, found, (), {}, 1)
    with pytest.raises(ZosError):
        give_way(new, found, ids, quiet(found), None)
    last = quiet(found) | {found[77].network.id: 2 * QUIET}
    gone = give_way(new, found, (), last, 1)
    assert gone == found[77]
    with pytest.raises(ZosError):
        give_way(one(KEPT, 1), found, (), last, 1)
    assert give_way(one(KEPT, 1), found, (), last, None) == found[77], "a machine comes into it"
    assert give_way(new, found[1:], (), last, 1) is None
    assert give_way(new, [dataclasses.replace(found[0], parked=True), *found[1:]], (), last, 1) is None


async def details(client: NetworkdClient) -> dict[str, str]:
    return {f"{one.twin}/{one.name}": one.detail for one in await client.list_networks()}


async def test_a_network_that_gave_way_is_built_again_when_a_machine_or_a_place_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "MOST_NETWORKS", 3)
    monkeypatch.setattr(crowd, "KEPT", 1)
    host = FakeHost()

    async def parked(*names: str) -> None:
        async with asyncio.timeout(5):
            while {name for name, detail in (await details(client)).items() if detail == PARKED} != {*names}:
                await asyncio.sleep(0.01)
            while len(await host.networks()) != 3:
                await asyncio.sleep(0.01)

    async with networkd(tmp_path, host) as client:
        for number in range(3):
            await client.ensure_network(one(number, 26))
        tap = dataclasses.replace(TAP, network=one(0, 26).id)
        await client.ensure_tap(tap)
        assert (await client.ensure_network(one(0, 1))).detail == ""
        await parked("26/n1")
        assert (await client.ensure_network(one(1, 26))).detail == PARKED, "asked for again, it takes no place"
        with pytest.raises(ZosError, match="takes no more"):
            await client.ensure_network(one(3, 26))
        await client.ensure_tap(dataclasses.replace(TAP, id=TapId("LGuiLd27LmXmK"), network=one(1, 26).id))
        await parked("26/n2")
        assert "t-LGuiLd27LmXmK" in host.root.links
    async with networkd(tmp_path, host) as client:
        await parked("26/n2")
        await client.drop_network(one(0, 1).id)
        await client.ensure_network(one(1, 1))
        await client.drop_network(one(1, 1).id)
        await client.ensure_network(one(1, 26))
        host.callback()
        await parked()
