"""Reverse proxies in front of a server of ours: whose connections theirs are."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from aiohttp import web

from zos.runtime.quota import network_of

HEADER = "X-Forwarded-For"


class Proxies:
    """Addresses whose `X-Forwarded-For` is believed; none by default, for anybody may write that."""

    def __init__(self, networks: Sequence[str] = ()) -> None:
        """Raises ValueError for what is no network."""
        self._networks = tuple(ipaddress.ip_network(one) for one in networks)

    def trusts(self, address: str | None) -> bool:
        """Whether an address is a proxy's."""
        try:
            ip = ipaddress.ip_address((address or "").partition("/")[0])
        except ValueError:
            return False
        return any(ip in network for network in self._networks)

    def client(self, request: web.Request) -> str:
        """The network of the client that asks: the last address that a proxy of ours has not only passed on."""
        remote = request.remote
        if self.trusts(remote):
            said = [one.strip() for line in request.headers.getall(HEADER, []) for one in line.split(",")]
            remote = next((one for one in reversed(said) if one and not self.trusts(one)), remote)
        return network_of(remote)
