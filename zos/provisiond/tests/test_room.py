"""What a twin's documents may take of provisiond's memory, whether a contract carries them or not."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from zos.chain.api import EventKind
from zos.provisiond import room
from zos.provisiond.api import ProvisiondClient
from zos.provisiond.api.errors import NodeHasTooManyWaiting, TooManyWaiting, TooMuchKept
from zos.provisiond.tests import users as u
from zos.provisiond.tests.asked import becomes, deployed, removed, squat, update
from zos.provisiond.tests.host import FakeHost, node

pytestmark = pytest.mark.virtual


async def fail(client: ProvisiondClient, host: FakeHost, contract: int, length: int = 300_000) -> None:
    """A deployment that its contract carries, and of which nothing can be made."""
    disk = {**u.zmount(f"disk{contract}"), "description": "x" * length, "data": {"size": 1 << 60}}
    body = u.document(contract, disk)
    u.contract(host, contract, body)
    await client.deploy(u.signed(body), u.TWIN)
    await becomes(client, contract, f"disk{contract}", "error")


async def test_what_contracts_carry_and_nothing_runs_of_is_bounded_for_its_twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_IDLE_BYTES", 900_000)
    host = FakeHost()
    async with node(tmp_path, host) as client:
        for contract in (1, 2, 3):
            await fail(client, host, contract)
        with pytest.raises(TooMuchKept, match="twin 26 has 3 deployments here of which nothing runs whose documents"):
            await fail(client, host, 4)
        pulled = u.document(5, u.zmount("pulled"))
        u.contract(host, 5, pulled, deployment_data=b'{"pull": {"url": "http://hub/x"}}')
        host.documents["http://hub/x"] = u.signed(pulled)
        u.happened(host, EventKind.CREATED, 5)
        async for progress in client.watch(5):
            assert "of which nothing runs" in progress.message
            break
        await client.deploy(squat(host, 6), 27)
        u.cancel(host, 2)
        await removed(client, 2)
        await becomes(client, 5, "pulled", "ok")
        await fail(client, host, 4)


async def test_an_update_counts_by_its_own_length_and_a_shorter_one_always_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_BYTES", 500_000)
    host = FakeHost()

    def version(number: int, length: int) -> dict[str, object]:
        return u.document(5, u.zmount(), version=number, description="x" * length)

    async with deployed(tmp_path, host, u.zmount()) as client:
        await update(client, host, version(1, 600_000))
        await becomes(client, 5, "disk1", "ok")
        while (await client.get(5))["version"] != 1:
            pass
        with pytest.raises(TooMuchKept, match="twin 26 has 1 deployments here in all"):
            await fail(client, host, 6, 10)
        with pytest.raises(TooMuchKept):
            await update(client, host, version(2, 700_000))
        await update(client, host, version(2, 1000))
        while (await client.get(5))["version"] != 2:
            pass
        await fail(client, host, 6, 10)


async def test_twins_that_fill_the_room_for_what_waits_leave_some_to_whoever_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_WAITING_BYTES", 500_000)
    monkeypatch.setattr(room, "ALL_WAITING_BYTES", 2_000_000)
    host = FakeHost()
    async with node(tmp_path, host, every=60.0) as client:
        for contract in range(1, 41):
            twin = 100 + contract % 8
            with contextlib.suppress(TooManyWaiting, NodeHasTooManyWaiting):
                await client.deploy(squat(host, contract, twin, description="x" * 90_000), twin)
        assert 1_000_000 < 90_000 * len(await client.list()) < 2_100_000
        for count in range(6):
            await client.deploy(squat(host, 50 + count, 200, description="x" * 20_000), 200)
        body = u.document(60, u.zmount())
        u.contract(host, 60, body)
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 60, "disk1", "ok")
