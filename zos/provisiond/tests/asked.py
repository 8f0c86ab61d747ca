"""What a test asks of provisiond until it is so, and documents of more than one test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from zos.chain.api import Twin
from zos.provisiond.api import ProvisiondClient
from zos.provisiond.tests import users as u
from zos.provisiond.tests.host import FakeHost, node
from zos.substrate import KeyKind, LocalKey

VM = (u.network(), u.zmount(), u.zmachine(mounts=[("disk1", "/data")]))
KEY = "3d8e3b1c5f0a4e7d9c2b6a5f8e1d4c7b0a9f8e7d6c5b4a392817065f4e3d2c1b"
OVERLAY = (
    u.network(mycelium={"hex_key": KEY, "peers": []}),
    u.zmachine(
        network={
            "public_ip": "",
            "planetary": False,
            "interfaces": [{"network": "net1", "ip": "10.20.2.5"}],
            "mycelium": {"Network": "net1", "hex_seed": "0a0b0c0d0e0f"},
        }
    ),
)
MALLORY = LocalKey.of_text("//Mallory", KeyKind.SR25519)


async def state(client: ProvisiondClient, contract: int, name: str) -> str:
    found = await client.get(contract)
    return next((one["result"]["state"] for one in found["workloads"] if one["name"] == name), "gone")


async def becomes(client: ProvisiondClient, contract: int, name: str, wanted: str) -> dict[str, Any]:
    """Wait until a workload is in a state."""
    async with asyncio.timeout(10):
        async for progress in client.watch(contract):
            if progress.workload == name and progress.state == wanted:
                break
    found = await client.get(contract)
    return dict(next(one for one in found["workloads"] if one["name"] == name)["result"])


@contextlib.asynccontextmanager
async def deployed(
    folder: Path, host: FakeHost, *workloads: Mapping[str, Any], **config: Any
) -> AsyncIterator[ProvisiondClient]:
    """A node on which the workloads of contract 5 are made."""
    body = u.document(5, *workloads)
    u.contract(host, 5, body)
    async with node(folder, host, **config) as client:
        await client.deploy(u.signed(body), u.TWIN)
        for one in workloads:
            await becomes(client, 5, one["name"], "ok")
        yield client


async def update(client: ProvisiondClient, host: FakeHost, new: Mapping[str, Any]) -> None:
    """Send a new document that its contract carries."""
    u.contract(host, new["contract_id"], new)
    await client.update(u.signed(new), u.TWIN)


async def refused(client: ProvisiondClient, contract: int) -> str:
    """Wait until the newest entry of the log says that nothing is changed, and why."""
    async with asyncio.timeout(60):
        while (last := (await client.changes(contract))[-1]["result"])["state"] != "unchanged":
            await asyncio.sleep(0.01)
    return str(last["message"])


async def removed(client: ProvisiondClient, contract: int) -> None:
    """Wait until a deployment is gone altogether."""
    async with asyncio.timeout(10):
        while any(one["contract_id"] == contract for one in await client.list()):
            await asyncio.sleep(0.01)


def squat(host: FakeHost, contract: int, twin: int = 27, **extra: Any) -> bytes:
    """Another twin's document for a contract that is not his."""
    host.chain.twins[twin] = Twin(twin, MALLORY.public)
    requirement = {"requests": [{"twin_id": twin, "required": True, "weight": 1}], "weight_required": 1}
    body = u.document(contract, u.zmount("mine"), **extra) | {"twin_id": twin, "signature_requirement": requirement}
    return u.signed(body, MALLORY, twin)
