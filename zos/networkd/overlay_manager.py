"""Keeps the device by which the node is in the Mycelium overlay."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from zos.networkd.host.contract import Host
from zos.networkd.overlay import plan

log = logging.getLogger("zos.networkd")


class OverlayManager:
    """Keeps the device; `address` asks for the node's own address in the overlay, empty while there is none."""

    def __init__(self, host: Host, address: Callable[[], Awaitable[str]]) -> None:
        self._host = host
        self._address = address

    async def reconcile(self) -> None:
        """Gives the device the node's address; nothing changes while the address is not known."""
        address = await self._address()
        steps = plan(address, (await self._host.observe_node()).nics) if address else ()
        if steps:
            log.info("the node is %s in the Mycelium overlay", address)
            await self._host.apply(steps)
