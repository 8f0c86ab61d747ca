"""zdbd on a simulated node: a contract's namespace from the document to the tombstone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from zos.devchain.genesis import Genesis
from zos.model.evidence import EvidenceKind
from zos.model.units import Bytes, GiB
from zos.mycelium.api import MyceliumClient
from zos.networkd.api import NetworkdClient
from zos.sim import workloads as w
from zos.sim.chain import key_of
from zos.sim.node import SimNode
from zos.storaged.api import PoolKind, StoragedClient
from zos.storaged.fake import FakeDevice
from zos.zdbd.api import Mode, ModeChange, Namespace, NamespaceId, NotServed, ZdbdClient

pytestmark = pytest.mark.virtual


def zdb(name: str = "db1", version: int = 0, **data: Any) -> dict[str, Any]:
    plain = {"size": int(GiB(1)), "mode": "user", "password": "pw", "public": False}
    return w.workload(name, "zdb", {**plain, **data}, version)


@asynccontextmanager
async def node(**options: Any) -> AsyncIterator[SimNode]:
    made = SimNode(**options)
    for letter in "bc":
        made.hosts.storaged.disks[f"/dev/sd{letter}"] = FakeDevice(f"/dev/sd{letter}", kind=PoolKind.HDD)
    async with made:
        yield made


async def test_a_namespace_is_on_a_hard_disk_and_its_result_names_both_overlays() -> None:
    async with node() as sim:
        contract = await sim.deploy(zdb(), zdb("db2", mode="seq"))
        told = (await sim.becomes(contract, "db1", "ok"))["data"]
        second = (await sim.becomes(contract, "db2", "ok"))["data"]
        planetary = (await sim.client(NetworkdClient).planetary()).address
        mycelium = (await sim.client(MyceliumClient).overlay()).address
        id = f"{sim.user.twin}-{contract}-db1"
        assert told == {"Namespace": id, "IPs": [planetary, mycelium], "Port": 9900}
        # The emptiest disk is taken, and each disk has its process.
        assert second["Port"] == 9901
        pools = {pool.name: pool.kind for pool in await sim.client(StoragedClient).list_pools()}
        assert {pools[pool] for pool in sim.hosts.zdbd.servers} == {PoolKind.HDD}
        assert len(sim.hosts.zdbd.servers) == 2
        assert (await sim.provisiond.usage()).hru == 2 * GiB(1)
        await sim.cancel(contract)
        await sim.becomes(contract, "db1", "gone")
        assert not sim.hosts.zdbd.servers
        kept = await sim.client(StoragedClient).list_tombstones()
        assert {(one.id.rpartition("-")[2], one.evidence.kind) for one in kept} == {
            ("db1", EvidenceKind.CONTRACT_CANCELLED),
            ("db2", EvidenceKind.CONTRACT_CANCELLED),
        }


async def test_an_update_grows_and_changes_password_and_public_and_nothing_else() -> None:
    async with node() as sim:
        contract = await sim.deploy(zdb())
        await sim.becomes(contract, "db1", "ok")
        await sim.update(contract, zdb(version=1, size=int(GiB(2)), password="new", public=True), version=1)

        def served() -> Any:
            (server,) = sim.hosts.zdbd.servers.values()
            return server.told.spaces[0] if server.told else None

        await sim.until(lambda: (served().size, served().password, served().is_public) == (GiB(2), "new", True))
        (volume,) = await sim.client(StoragedClient).list_volumes()
        assert volume.size == GiB(2)
        for version, change, text in (
            (2, {"size": int(GiB(1))}, "cannot shrink zdb namespace"),
            (3, {"size": int(GiB(2)), "mode": "seq"}, "cannot change namespace mode"),
        ):
            await sim.update(contract, zdb(version=version, **change), version=version)

            async def refused(text: str = text) -> bool:
                log = await sim.provisiond.changes(contract)
                return any(one["result"]["state"] == "unchanged" and text in one["result"]["message"] for one in log)

            await sim.until(refused)
        assert served().size == GiB(2)


async def test_an_unpaid_namespace_is_frozen_even_after_restarts_and_comes_back_with_the_payment() -> None:
    async with node(genesis=Genesis(billing_frequency=10)) as sim:
        # A small one costs less than the smallest unit of money in ten blocks.
        contract = await sim.deploy(zdb(size=int(GiB(80))))
        await sim.becomes(contract, "db1", "ok")
        user, farmer = sim.user.key, key_of("farmer")

        def frozen() -> list[bool]:
            told = [server.told for server in sim.hosts.zdbd.servers.values()]
            return [space.is_frozen for one in told if one for space in one.spaces]

        everything = {"dest": {"Id": farmer.public}, "keep_alive": True}
        await sim.chain.call(user, "Balances", "transfer_all", **everything)
        await sim.becomes(contract, "db1", "paused")
        assert frozen() == [True]
        sim.kill("zdbd")
        sim.hosts.zdbd.servers.clear()
        await sim.until(lambda: frozen() == [True])
        await sim.chain.call(farmer, "Balances", "transfer", dest={"Id": user.public}, value=10**9)
        await sim.becomes(contract, "db1", "ok")
        assert frozen() == [False]


async def test_a_process_that_ends_is_started_again() -> None:
    async with node() as sim:
        contract = await sim.deploy(zdb())
        await sim.becomes(contract, "db1", "ok")
        (pool,) = sim.hosts.zdbd.servers
        sim.hosts.zdbd.end(pool)
        await sim.until(lambda: pool in sim.hosts.zdbd.servers and sim.hosts.zdbd.servers[pool].told)


async def test_a_disk_that_does_not_answer_holds_up_no_other() -> None:
    async with node() as sim:
        first = await sim.deploy(zdb())
        await sim.becomes(first, "db1", "ok")
        (pool,) = sim.hosts.zdbd.servers
        sim.hosts.zdbd.silent.add(pool)
        second = await sim.deploy(zdb("db2"))
        await sim.becomes(second, "db2", "ok")
        infos = {one.pool: one for one in await sim.client(ZdbdClient).list_namespaces()}
        assert infos[pool].detail
        await sim.cancel(first)
        # Its files may still be open: the volume stays until that is known.
        await sim.settle()
        assert not await sim.client(StoragedClient).list_tombstones()
        sim.hosts.zdbd.silent.clear()
        await sim.becomes(first, "db1", "gone")


async def test_refusals_leave_what_is_served(tmp_path: Path) -> None:
    async with node() as sim:
        client = sim.client(ZdbdClient)
        good = Namespace(NamespaceId("1-2-x"), "pool", Path("/mnt/pool/volumes/1-2-x"), Bytes(10), Mode.USER)
        await client.ensure_namespace(good)
        with pytest.raises(ModeChange):
            await client.ensure_namespace(Namespace(good.id, good.pool, good.path, good.size, Mode.SEQ))
        sim.hosts.zdbd.problems["1-2-y"] = "it is in use"
        bad = Namespace(NamespaceId("1-2-y"), "pool", Path("/mnt/pool/volumes/1-2-y"), Bytes(10), Mode.USER)
        with pytest.raises(NotServed, match="it is in use"):
            await client.ensure_namespace(bad)
        (info,) = [one for one in await client.list_namespaces() if one.id == good.id]
        assert (info.mode, info.detail) == (Mode.USER, "")
        await client.drop_namespace(NamespaceId("unknown"))


@pytest.mark.parametrize("daemon", ["zdbd", "provisiond", "storaged"])
@pytest.mark.parametrize("steps", [3, 40, 120, 300])
async def test_a_namespace_is_made_and_dropped_whoever_is_killed_in_the_middle(daemon: str, steps: int) -> None:
    async with node() as sim:
        sim.kill_after(steps, daemon)
        contract = await sim.deploy(zdb())
        await sim.becomes(contract, "db1", "ok")
        sim.kill_after(steps, daemon)
        await sim.cancel(contract)
        await sim.becomes(contract, "db1", "gone")
        await sim.until(lambda: not sim.hosts.zdbd.servers)
        (kept,) = await sim.client(StoragedClient).list_tombstones()
        assert kept.evidence.contract == contract
