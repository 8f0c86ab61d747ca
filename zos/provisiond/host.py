"""What provisiond asks of the world beside the daemons' doors: signed documents, and the machine's memory."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import urlsplit

import aiohttp
import psutil
from aiohttp.abc import AbstractResolver, ResolveResult

from zos.bus.client import Bus
from zos.chain.api import ChainClient, NodeContract
from zos.core0.api import Core0Client
from zos.errors import ZosError
from zos.flistd.api import FlistdClient
from zos.model.units import GiB, MiB
from zos.mycelium.api import MyceliumClient
from zos.networkd.api import NetworkdClient
from zos.provisiond.api.errors import CannotFetch
from zos.provisiond.kyc import Kyc
from zos.provisiond.pull import Place, Vault, Web
from zos.rmb.api import RmbClient
from zos.storaged.api import StoragedClient
from zos.verbs.run import Doors
from zos.vmd.api import VmdClient

LARGEST = int(MiB(1))
DEADLINE = 20.0


class NodeHost:
    """The siblings' doors, and ways to fetch."""

    def __init__(self, bus: Bus, kyc: Kyc) -> None:
        self.kyc = kyc
        self.chain = ChainClient(bus)
        self.core0 = Core0Client(bus)
        self._rmb = RmbClient(bus)
        self.doors = Doors(
            StoragedClient(bus), FlistdClient(bus), NetworkdClient(bus), VmdClient(bus), MyceliumClient(bus)
        )

    async def fetch(self, contract: NodeContract, place: Place) -> bytes:
        """The document at the place that a contract names; bounded in size and time."""
        try:
            match place:
                case Web(url):
                    return await _at(url)
                case Vault(session):
                    return await self._rmb.fetch_deployment(contract.twin, session, contract.deployment_hash)
        except ZosError as err:
            raise CannotFetch(contract=contract.id, place=place, problem=err.explain()) from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as err:
            raise CannotFetch(contract=contract.id, place=place, problem=str(err) or type(err).__name__) from None

    def memory(self) -> tuple[int, int]:
        """Total and reserved bytes of memory."""
        total = int(psutil.virtual_memory().total)
        return total, reserved_memory(total)


async def _at(url: str) -> bytes:
    """What lies at a URL, never of the node itself; raises ValueError for what is not fetched."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("only http and https are fetched")
    try:
        literal = ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        pass
    else:
        if _is_inside(str(literal)):
            raise ValueError("the address is the node's own")
    timeout = aiohttp.ClientTimeout(total=DEADLINE)
    connector = aiohttp.TCPConnector(resolver=_Outside())
    async with (
        aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
        session.get(url, allow_redirects=False) as answer,
    ):
        if answer.status != 200:
            raise ValueError(f"HTTP status {answer.status}")
        body = await answer.content.read(LARGEST + 1)
        while len(body) <= LARGEST and not answer.content.at_eof():
            body += await answer.content.read(LARGEST + 1 - len(body))
    if len(body) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST} bytes")
    return body


def reserved_memory(total: int) -> int:
    """What the node keeps for itself: a tenth, at least 2 GiB (the reference's reserve)."""
    return max(total // 10, int(GiB(2)))


class _Outside(AbstractResolver):
    """Resolves names, and passes over addresses of the node itself: a tenant's URL must not reach inside."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        outside = [(one[0], str(one[4][0])) for one in found if not _is_inside(str(one[4][0]))]
        if not outside:
            raise OSError(f"{host} has no address outside of the node")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in outside
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _is_inside(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified or parsed.is_multicast
