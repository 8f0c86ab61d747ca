"""Storaged as a daemon on a fake machine, with a chain that answers what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zos.bus import convert
from zos.chain.api import Block as ChainBlock
from zos.chain.api import ContractState, NodeContract, NoSuchContract
from zos.chain.api.chain_pb2 import NodeContract as NodeContractMessage
from zos.chain.api.chain_pb2_grpc import ChainServicer, add_ChainServicer_to_server
from zos.runtime.clock import FakeClock
from zos.runtime.daemon import Daemon, Runtime
from zos.runtime.testing import running
from zos.storaged.api import DiskId, Evidence, EvidenceKind, StoragedClient, VolumeId
from zos.storaged.daemon import Config, Storaged
from zos.storaged.fake import FakeHost

CANCELLED = Evidence(EvidenceKind.CONTRACT_CANCELLED, 7, 1234, "deleted")
DISK, VOLUME = DiskId("26-7-data"), VolumeId("26-7-shared")


@dataclass(frozen=True, slots=True)
class NoConfig:
    """No table in the configuration file."""


class Chain(Daemon):
    """The chain as storaged asks it: contract 7 is gone, 8 lives, 9 is out of funds; it stands at block 2000."""

    name = "chain"
    config = NoConfig

    async def open(self, rt: Runtime) -> None:
        rt.serve(Contracts(), add_ChainServicer_to_server)


class Contracts(ChainServicer):
    async def GetContract(self, request: Any, context: Any) -> Any:
        states = {8: ContractState.CREATED, 9: ContractState.DELETED_OUT_OF_FUNDS}
        if request.id not in states:
            raise NoSuchContract(contract=request.id, block=2000)
        contract = NodeContract(request.id, 26, 1, states[request.id], 0, "", b"", (), ChainBlock(2000, "0x"))
        return convert.encode(contract, NodeContractMessage)


@asynccontextmanager
async def storaged(
    folder: Path, host: FakeHost, clock: FakeClock | None = None, config: Config | None = None
) -> AsyncIterator[StoragedClient]:
    given = config or Config(every=60, mounts=folder / "mnt", cache=folder / "cache")
    async with running(Chain, folder), running(Storaged, folder, host=host, config=given, clock=clock) as rt:
        yield StoragedClient(rt.bus)


async def until(ask: object, holds: object, deadline: float = 5.0) -> None:
    assert callable(ask)
    assert callable(holds)
    async with asyncio.timeout(deadline):
        while not holds(await ask()):
            await asyncio.sleep(0.01)
