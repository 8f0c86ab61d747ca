"""Keeps the wishes, and makes the node's network so: observe, plan, apply, one network at a time.

A network is worked on under its own lock, so that no tenant waits for another; a wish that is refused leaves what
was there before, both in the ledger and in the kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from zos.errors import Kind, ZosError
from zos.networkd import check, layout, model, node
from zos.networkd.api.errors import NoSuchNetwork
from zos.networkd.api.types import (
    Backend,
    MyceliumTap,
    NetId,
    Network,
    NetworkInfo,
    OverlayTapInfo,
    PublicConfig,
    Tap,
    TapId,
    TapInfo,
    Uplink,
)
from zos.networkd.host.contract import Host
from zos.networkd.model import Have, Wish
from zos.networkd.node import NicKind, NodeWish, Public
from zos.networkd.plan import plan
from zos.networkd.steps import DropLinks
from zos.runtime.ledger import Ledger

log = logging.getLogger("zos.networkd")

T = TypeVar("T")

PUBLIC = "public"
"""The one record of its ledger."""


class Keeper:
    """Everything that networkd is asked for, and the state of it."""

    def __init__(
        self,
        host: Host,
        wishes: Ledger[Wish],
        taps: Ledger[Tap],
        publics: Ledger[Public],
        own: NodeWish,
        again: Callable[[], None],
        overlay: Ledger[MyceliumTap],
        others: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self._host = host
        self._wishes = wishes
        self._taps = taps
        self._publics = publics
        self._own = own
        self._again = again
        self._overlay = overlay
        self._others = others
        self._locks: dict[NetId, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._troubles: dict[NetId, str] = {}

    # Wishes

    async def ensure_network(self, asked: Network) -> NetworkInfo:
        """Accept a network and make it so."""
        network = check.canonical(asked)
        async with self._locks[network.id]:
            check.admit(network, self._all(), self._all_taps())
            before = self._wishes.get(network.id)
            check.admit_overlay(network, before, self._all_overlay())
            slot = before.slot if before else check.free_slot(self._all())
            async with self._kept(network.id, before):
                self._wishes.put(network.id, Wish(network, slot))
                have = await self._make(network.id)
            return self._info(network, have)

    async def drop_network(self, id: NetId) -> None:
        """Remove a network, now or with its last tap."""
        async with self._locks[id]:
            wish = self._wishes.get(id)
            if wish is None:
                return
            if self._taps_of(id) or self._overlay_of(id):
                self._wishes.put(id, dataclasses.replace(wish, leaving=True))
                return
            self._wishes.drop(id)
            await self._make(id)

    async def ensure_tap(self, asked: Tap) -> TapInfo:
        """Accept a tap and make it so."""
        tap = check.canonical_tap(asked)
        async with self._locks[tap.network]:
            wish = self._wishes.get(tap.network)
            if wish is None or wish.leaving:
                raise NoSuchNetwork(network=tap.network)
            check.place(tap, wish.network, self._all_taps())
            before = self._taps.get(tap.id)
            try:
                self._taps.put(tap.id, tap)
                have = await self._make(tap.network)
            except ZosError as err:
                if err.kind is not Kind.NOT_NOW:
                    self._put_back(self._taps, tap.id, before)
                raise
            return layout.tap_info(tap, wish.network, have.host.links.get(model.tap(tap.id)))

    async def ensure_mycelium_tap(self, asked: MyceliumTap) -> OverlayTapInfo:
        """Accept a tap in its network's part of the Mycelium overlay and make it so."""
        tap = check.canonical_mycelium_tap(asked)
        async with self._locks[tap.network]:
            wish = self._wishes.get(tap.network)
            if wish is None or wish.leaving:
                raise NoSuchNetwork(network=tap.network)
            check.place_in_overlay(tap, wish.network, self._all_overlay())
            before = self._overlay.get(tap.id)
            try:
                self._overlay.put(tap.id, tap)
                await self._make(tap.network)
            except ZosError as err:
                if err.kind is not Kind.NOT_NOW:
                    self._put_back(self._overlay, tap.id, before)
                raise
            return layout.mycelium_tap_info(tap, wish.network)

    async def drop_tap(self, id: TapId) -> None:
        """Remove a tap, and its network when that was only waiting for this."""
        tap = self._taps.get(id) or self._overlay.get(id)
        if tap is None:
            return
        async with self._locks[tap.network]:
            (self._taps if isinstance(tap, Tap) else self._overlay).drop(id)
            wish = self._wishes.get(tap.network)
            if wish is not None and wish.leaving and not (self._taps_of(tap.network) or self._overlay_of(tap.network)):
                self._wishes.drop(tap.network)
            await self._make(tap.network)

    async def set_public(self, asked: PublicConfig) -> PublicConfig:
        """Accept the node's public addresses and have them."""
        config = check.canonical_public(asked)
        before = self.public()
        if config != before.config:
            # Those of before are remembered until they are gone: nothing else tells them from the node's own.
            former = {*before.former, *before.config.addresses} - {*config.addresses}
            self._publics.put(PUBLIC, Public(config, tuple(sorted(former))))
        await self._make_node()
        return config

    def public(self) -> Public:
        """The public addresses that are wished for."""
        return self._publics.get(PUBLIC) or Public()

    @contextlib.asynccontextmanager
    async def _kept(self, id: NetId, before: Wish | None) -> AsyncIterator[None]:
        """A refused change leaves the former wish in force; one that only failed for now stays wished."""
        try:
            yield
        except ZosError as err:
            if err.kind is not Kind.NOT_NOW:
                self._put_back(self._wishes, id, before)
            raise

    def _put_back(self, ledger: Ledger[T], key: str, before: T | None) -> None:
        if before is None:
            ledger.drop(key)
        else:
            ledger.put(key, before)
        self._again()

    # Making it so

    async def reconcile(self) -> None:
        """Everything once: the node's own part, each network, and what nobody wishes."""
        failures: list[ZosError] = []
        for work in (self._make_node, self._drop_stray_taps):
            try:
                await work()
            except ZosError as err:
                failures.append(err)
        for id in sorted({*map(NetId, self._wishes.keys()), *await self._host.networks()}):
            try:
                async with self._locks[id]:
                    await self._make(id)
            except ZosError as err:
                failures.append(err)
        if failures:
            raise failures[0]

    async def _make_node(self) -> None:
        own = dataclasses.replace(self._own, public=self.public())
        await self._host.apply(node.plan(own, await self._host.observe_node()))

    async def _drop_stray_taps(self) -> None:
        """Taps that nobody wishes and that no bridge leads to (the others go with their network)."""
        seen = await self._host.taps()
        wished = {*map(model.tap, self._all_ids())}
        strays = seen.keys() - wished - self._others()
        alone = tuple(sorted(name for name in strays if not seen[name].master))
        if alone:
            await self._host.apply((DropLinks(alone),))

    async def _make(self, id: NetId) -> Have:
        """One network as wished, or gone; returns how it stands now."""
        wish = self._wishes.get(id)
        taps, overlay = self._taps_of(id), self._overlay_of(id)
        devices = [*(model.tap(tap.id) for tap in taps), *(model.tap(tap.id) for tap in overlay)]
        want = layout.want(wish, taps, overlay) if wish is not None else None
        try:
            have = await self._host.observe(id, devices)
            steps = plan(want, have, id)
            if steps:
                log.info("network %s: %d steps", id, len(steps))
                await self._host.apply(steps)
                have = await self._host.observe(id, devices)
        except ZosError as err:
            self._troubles[id] = err.explain()
            raise
        self._troubles.pop(id, None)
        return have

    # Views

    async def networks(self) -> tuple[NetworkInfo, ...]:
        """All networks as they stand."""
        return tuple([self._info(wish.network, await self._host.observe(wish.network.id)) for wish in self._all()])

    async def taps(self) -> tuple[TapInfo, ...]:
        """All taps, with their counters."""
        seen = await self._host.taps()
        found = []
        for tap in self._all_taps():
            wish = self._wishes.get(tap.network)
            if wish is not None:
                found.append(layout.tap_info(tap, wish.network, seen.get(model.tap(tap.id))))
        return tuple(found)

    async def uplinks(self) -> tuple[Uplink, ...]:
        """The bridge with the node's addresses, then the cards."""
        nics = (await self._host.observe_node()).nics
        public = {*self.public().config.addresses, *self.public().former}
        order = sorted(nics, key=lambda name: (name != model.UPLINK_BRIDGE, name))
        return tuple(
            Uplink(name, nics[name].mac, tuple(sorted((nics[name].addresses | nics[name].leased) - public)))
            for name in order
            if name == model.UPLINK_BRIDGE or nics[name].kind is NicKind.CARD
        )

    async def wg_ports(self) -> tuple[int, ...]:
        """Ports that a new network cannot have."""
        busy = (await self._host.observe_node()).busy
        return tuple(sorted({*model.RESERVED_PORTS, *busy, *(wish.network.listen_port for wish in self._all())}))

    def _info(self, network: Network, have: Have) -> NetworkInfo:
        tunnel = have.tunnel
        return NetworkInfo(
            id=network.id,
            twin=network.twin,
            name=network.name,
            ip_range=network.ip_range,
            subnet=network.subnet,
            namespace=model.namespace(network.id),
            bridge=model.bridge(network.id),
            public_key=check.public_key(network.private_key),
            listen_port=tunnel.listen_port if tunnel else 0,
            backend=tunnel.backend if tunnel else Backend.KERNEL,
            peers=tuple(peer.info() for peer in tunnel.peers.values()) if tunnel else (),
            detail=self._troubles.get(network.id, "" if tunnel else "the tunnel is not up"),
        )

    def _all(self) -> tuple[Wish, ...]:
        return tuple(wish for _, wish in self._wishes.items())

    def _all_taps(self) -> tuple[Tap, ...]:
        return tuple(tap for _, tap in self._taps.items())

    def _taps_of(self, id: NetId) -> tuple[Tap, ...]:
        return tuple(tap for tap in self._all_taps() if tap.network == id)

    def _all_ids(self) -> tuple[TapId, ...]:
        return tuple(map(TapId, (*self._taps.keys(), *self._overlay.keys())))

    def _all_overlay(self) -> tuple[MyceliumTap, ...]:
        return tuple(tap for _, tap in self._overlay.items())

    def _overlay_of(self, id: NetId) -> tuple[MyceliumTap, ...]:
        return tuple(tap for tap in self._all_overlay() if tap.network == id)
