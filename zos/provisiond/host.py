"""What provisiond asks of the world beside the daemons: signed documents, and the machine's memory."""

from __future__ import annotations

import psutil

from zos.bus.client import Bus
from zos.chain.api import ChainClient, NodeContract
from zos.errors import ZosError
from zos.fetch.aio import Fetcher
from zos.fetch.exchange import Request
from zos.fetch.policy import Policy
from zos.model import sealed
from zos.model.capacity import reserved_memory
from zos.model.units import MiB
from zos.provisiond.api.errors import CannotFetch
from zos.provisiond.kyc import Kyc
from zos.provisiond.pull import Origin, Vault, Web
from zos.rmb.api import RmbClient
from zos.verbs.step import Clients

LARGEST = int(MiB(3)) // 2
"""Bytes of a document as it lies there; sealed ones are a third larger than what is in them."""
DEADLINE = 20.0


class NodeAccess:
    """Clients of the other daemons, and ways to fetch."""

    def __init__(self, bus: Bus, kyc: Kyc, policy: Policy) -> None:
        self._fetcher = Fetcher(policy)
        self.kyc = kyc
        self.chain = ChainClient(bus)
        self._rmb = RmbClient(bus)
        self.clients = Clients(bus)

    def close(self) -> None:
        """Let go of connections."""
        self._fetcher.close()

    async def fetch(self, contract: NodeContract, origin: Origin) -> bytes:
        """The document at the place that a contract names; bounded in size and time."""
        try:
            match origin:
                case Web(url):
                    answer = await self._fetcher.fetch(Request(url, limit=LARGEST), DEADLINE, str(contract.twin))
                    if answer.status != 200:
                        raise CannotFetch(contract=contract.id, place=origin, problem=f"HTTP status {answer.status}")
                    return answer.body
                case Vault(session):
                    return await self._rmb.fetch_deployment(contract.twin, session, contract.deployment_hash)
        except CannotFetch:
            raise
        except ZosError as err:
            raise CannotFetch(contract=contract.id, place=origin, problem=err.explain()) from None

    async def open(self, document: bytes) -> bytes:
        """The document itself, if what was fetched is sealed for this node."""
        found = sealed.decode(document)
        return document if found is None else await self._rmb.open_deployment(found)

    def memory(self) -> tuple[int, int]:
        """Total and reserved bytes of memory."""
        total = int(psutil.virtual_memory().total)
        return total, reserved_memory(total)
