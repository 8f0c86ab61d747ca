"""What provisiond asks of the world beside the daemons' doors: documents at URLs, and the machine's memory."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import urlsplit

import aiohttp
import psutil
from aiohttp.abc import AbstractResolver, ResolveResult

from zos.bus.client import Bus
from zos.chain.api import ChainClient
from zos.core0.api import Core0Client
from zos.flistd.api import FlistdClient
from zos.model.units import GiB, MiB
from zos.networkd.api import NetworkdClient
from zos.provisiond.api.errors import CannotFetch
from zos.provisiond.kyc import Kyc
from zos.storaged.api import StoragedClient
from zos.verbs.run import Doors
from zos.vmd.api import VmdClient

LARGEST = int(MiB(1))
DEADLINE = 20.0


class NodeHost:
    """The siblings' doors, and a way to fetch."""

    def __init__(self, bus: Bus, kyc: Kyc) -> None:
        self.kyc = kyc
        self.chain = ChainClient(bus)
        self.core0 = Core0Client(bus)
        self.doors = Doors(StoragedClient(bus), FlistdClient(bus), NetworkdClient(bus), VmdClient(bus))

    async def fetch(self, contract: int, url: str) -> bytes:
        """The document at a URL that a contract names; bounded in size and time, never from the node itself."""

        def cannot(problem: object) -> CannotFetch:
            return CannotFetch(contract=contract, url=url, problem=problem)

        if urlsplit(url).scheme not in ("http", "https"):
            raise cannot("only http and https are fetched")
        try:
            literal = ipaddress.ip_address(urlsplit(url).hostname or "")
        except ValueError:
            pass
        else:
            if _is_inside(str(literal)):
                raise cannot("the address is the node's own")
        timeout = aiohttp.ClientTimeout(total=DEADLINE)
        connector = aiohttp.TCPConnector(resolver=_Outside())
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
                session.get(url, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise cannot(f"HTTP status {answer.status}")
                body = await answer.content.read(LARGEST + 1)
                while len(body) <= LARGEST and not answer.content.at_eof():
                    body += await answer.content.read(LARGEST + 1 - len(body))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as err:
            raise cannot(str(err) or type(err).__name__) from None
        if len(body) > LARGEST:
            raise cannot(f"it is larger than {LARGEST} bytes")
        return body

    def memory(self) -> tuple[int, int]:
        """Total and reserved bytes of memory."""
        total = int(psutil.virtual_memory().total)
        return total, reserved_memory(total)


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
