"""Keeps the walls around the node and its tenants in force. Nothing of a tenant is made before they are."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable

from zos.errors import ZosError
from zos.networkd import firewall
from zos.networkd.api.errors import NoFirewall
from zos.networkd.firewall import Openings
from zos.networkd.host.contract import Host
from zos.networkd.node import DesiredNode, Public

DEADLINE = 20.0
"""Seconds for the kernel; whoever waits for a tap has a little more."""


class Firewall:
    """The tables of the root namespace, with tenants' WireGuard ports."""

    def __init__(self, host: Host, own: DesiredNode, openings: Openings) -> None:
        self._host = host
        self._own = own
        self._openings = openings
        self._public: Callable[[], Public] = Public
        self._ports: Callable[[], frozenset[int]] = frozenset
        self._lock = asyncio.Lock()
        self._in_force = False

    def follow(self, public: Callable[[], Public], ports: Callable[[], frozenset[int]]) -> None:
        """Set where the node's public addresses and tenants' WireGuard ports are asked for."""
        self._public, self._ports = public, ports

    async def reconcile(self) -> None:
        """Bring the tables into force, for the node as it is now."""
        async with self._turn():
            await self._load()

    async def require(self) -> None:
        """Return when the tables are in force; raises `NoFirewall`."""
        async with self._turn():
            if self._in_force:
                return
            try:
                await self._load()
            except ZosError as err:
                raise NoFirewall(problem=err.explain()) from err

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One at a time. A kernel that hangs holds the next one up for so long and no longer; raises `NoFirewall`."""
        async with self._lock:
            try:
                async with asyncio.timeout(DEADLINE):
                    yield
            except TimeoutError:
                raise NoFirewall(problem=f"the kernel did not answer within {DEADLINE:.0f} s") from None

    async def _load(self) -> None:
        own = dataclasses.replace(self._own, public=self._public())
        texts = firewall.tables(own, await self._host.observe_node(), self._openings)
        steps = firewall.plan(*texts, self._ports(), await self._host.observe_firewall())
        if steps:
            # Should this fail, the tables may be gone: nothing new is made until they are back.
            self._in_force = False
            await self._host.apply(steps)
        self._in_force = True

    async def open_ports(self) -> None:
        """Open the WireGuard ports of the networks that are there now, and close all others."""
        await self.require()
        async with self._turn():
            observed = await self._host.observe_firewall()
            if step := firewall.change_ports(self._ports(), observed.ports):
                await self._host.apply((step,))
