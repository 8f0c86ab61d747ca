"""Keeps the records of networks and reconciles them: observe, plan, apply, one network at a time.

A network is worked on under its own lock, so that no tenant waits for another; a request that is refused leaves what
was there before, both in the ledger and in the kernel.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from zos.errors import Kind, ZosError
from zos.model import ports
from zos.networkd import check, crowd, layout, model, node, places
from zos.networkd.api.check import canonical, is_id, public_key
from zos.networkd.api.errors import NoSuchNetwork, TooManyNetworks
from zos.networkd.api.types import Backend, NetId, Network, NetworkInfo, Place, PublicConfig, Tap, TapInfo, Uplink
from zos.networkd.firewall_manager import Firewall
from zos.networkd.host.contract import Host
from zos.networkd.model import Link, NetworkRecord, Observed, ObservedTunnel
from zos.networkd.node import DesiredNode, NicKind, Public
from zos.networkd.place import InNetwork, owner
from zos.networkd.plan import plan
from zos.networkd.steps import DropLinks, UnguardTaps
from zos.networkd.taps import TapStore
from zos.runtime.clock import Clock
from zos.runtime.ledger import Ledger
from zos.runtime.locks import Locks

log = logging.getLogger("zos.networkd")

PUBLIC = "public"
"""The one record of its ledger."""
PARKED = "the node has as many networks as it builds, and this one has no machine here: it is built when one comes"


class NetworkManager:
    """Network resources with the taps in them, and the node's own part."""

    def __init__(
        self,
        host: Host,
        records: Ledger[NetworkRecord],
        taps: TapStore,
        publics: Ledger[Public],
        own: DesiredNode,
        firewall: Firewall,
        wake: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._host = host
        self._records = records
        self._taps = taps
        self._publics = publics
        self._own = own
        self._firewall = firewall
        firewall.follow(self.public, lambda: frozenset(record.network.listen_port for record in self._all()))
        self._wake = wake
        self._clock = clock
        self._places: dict[Place, InNetwork] = {place.place: place for place in places.in_network()}
        self._locks = Locks[NetId]()
        self._troubles: dict[NetId, str] = {}
        self._use = crowd.Use()
        self._coming: list[NetId] = []
        """Networks that are built for a machine whose tap is not in the store yet."""

    # Networks

    async def ensure_network(self, desired: Network) -> NetworkInfo:
        """Accept a network and make it."""
        network = canonical(desired)
        async with self._locks.of(network.id):
            self._keep_overlays(network.id)
            check.admit(network, self._all(), self._taps.all())
            before = self._records.get(network.id)
            slot = before.slot if before else check.free_slot(self._all())
            parked = self._is_parked(network, before)
            async with self._restored(network.id, before):
                self._records.put(network.id, NetworkRecord(network, slot, parked=parked))
                observed = await self._make(network.id)
            made = self._records.get(network.id)
            return self._info(made.network if made else network, observed.tunnel)

    def _is_parked(self, network: Network, before: NetworkRecord | None) -> bool:
        """Whether there is no place to build it; raises TooManyNetworks for a new one."""
        if before is not None and not before.parked:
            return False
        try:
            # One that is asked for again takes no place from whoever has as many.
            self._take_place(network, lead=1 if before is None else 2)
        except TooManyNetworks:
            if before is None:
                raise
            return True
        return False

    def _take_place(self, network: Network, lead: int | None) -> None:
        now = self._clock.monotonic()
        with_taps = {tap.network for tap in self._taps.all()} | set(self._coming)
        gone = crowd.give_way(network, self._all(), with_taps, self._use.quiet(now), lead)
        self._use.note(network.id, now, is_used=True)
        if gone is not None:
            twin = gone.network.twin
            log.warning("network %s of twin %d gives its place to twin %d", gone.network.id, twin, network.twin)
            self._records.put(gone.network.id, dataclasses.replace(gone, parked=True))
            self._wake()

    def _keep_overlays(self, id: NetId) -> NetworkRecord | None:
        """Clients send a new mycelium key with each update; machines that have addresses by an old one keep them.

        Returns the network's record, with the subnets of old keys that machines have addresses in, and no others.
        """
        record = self._records.get(id)
        if record is None or not record.network.mycelium:
            return record
        used: set[str] = set()
        for tap in self._taps.of_network(id):
            if tap.place is Place.MYCELIUM:
                used.add(tap.overlay or record.network.mycelium)
                if not tap.overlay:
                    self._taps.put(dataclasses.replace(tap, overlay=record.network.mycelium))
        former = tuple(sorted(used - {record.network.mycelium}))
        if former != record.network.former:
            record = dataclasses.replace(record, network=dataclasses.replace(record.network, former=former))
            self._records.put(id, record)
        return record

    async def drop_network(self, id: NetId) -> None:
        """Remove a network, now or with its last tap."""
        async with self._locks.of(id):
            record = self._records.get(id)
            if record is None:
                return
            if self._taps.of_network(id):
                self._records.put(id, dataclasses.replace(record, leaving=True))
                return
            self._drop_record(id)
            await self._make(id)

    def _drop_record(self, id: NetId) -> None:
        self._taps.removals.add(id)
        self._records.drop(id)

    @contextlib.asynccontextmanager
    async def _restored(self, id: NetId, before: NetworkRecord | None) -> AsyncIterator[None]:
        """A refused change leaves the former record in force; one that only failed for now stays desired."""
        try:
            yield
        except ZosError as err:
            if err.kind is not Kind.NOT_NOW:
                if before is None:
                    self._drop_record(id)
                else:
                    self._records.put(id, before)
                self._wake()
            raise

    # Taps in networks (see `TapOwner`)

    def lock(self, tap: Tap) -> AbstractAsyncContextManager[None]:
        return self._locks.of(tap.network)

    async def admit(self, tap: Tap, before: Tap | None) -> Tap:
        """As it is accepted; raises when its network is not there, or cannot have the tap."""
        record = self._keep_overlays(tap.network)
        if record is None or record.leaving:
            raise NoSuchNetwork(network=tap.network)
        if record.parked:
            await self._build_again(record)
        return self._places[tap.place].admit(tap, record.network, self._taps.all())

    async def _build_again(self, record: NetworkRecord, lead: int | None = None) -> None:
        id = record.network.id
        self._take_place(record.network, lead)
        self._coming.append(id)
        try:
            self._records.put(id, dataclasses.replace(record, parked=False))
            await self._make(id)
        finally:
            self._coming.remove(id)

    async def make(self, tap: Tap) -> TapInfo:
        """Make the tap, by reconciling its network."""
        observed = await self._make(tap.network, tunnel=False)
        info = self.info(tap, observed.root.links.get(model.tap(tap.id)))
        if info is None:
            raise NoSuchNetwork(network=tap.network)
        return info

    async def remove(self, tap: Tap) -> None:
        """Remove the tap, and its network when that was dropped before."""
        record = self._records.get(tap.network)
        if record is not None and record.leaving and not self._taps.of_network(tap.network):
            self._drop_record(tap.network)
        await self._make(tap.network, tunnel=False)

    def info(self, tap: Tap, observed: Link | None) -> TapInfo | None:
        """None when its network is not there."""
        record = self._records.get(tap.network)
        if record is None:
            return None
        found = self._places[tap.place].info(tap, record.network, observed)
        holder = self._places[tap.place].holder(tap, self._taps.of_network(tap.network))
        if holder is None:
            return found
        detail = f"{found.ip} is the address of {owner(holder)}, and this machine's once that one is gone"
        return dataclasses.replace(found, detail=detail)

    # The node's public addresses

    async def set_public(self, desired: PublicConfig) -> PublicConfig:
        """Accept the node's public addresses and add them to the uplink."""
        config = check.canonical_public(desired)
        before = self.public()
        if config != before.config:
            # Those of before are remembered until they are gone: nothing else tells them from the node's own.
            former = {*before.former, *before.config.addresses} - {*config.addresses}
            self._publics.put(PUBLIC, Public(config, tuple(sorted(former))))
        await self._make_node()
        return config

    def public(self) -> Public:
        """The public addresses that were set."""
        return self._publics.get(PUBLIC) or Public()

    # Reconciling

    async def reconcile(self) -> None:
        """Everything once: the node's own part, each network, and what belongs to none."""
        failures: list[ZosError] = []
        for work in (self._make_node, self._drop_stray_taps):
            try:
                await work()
            except ZosError as err:
                failures.append(err)
        removed = {NetId(name) for name in self._taps.removals.names() if is_id(name)}
        wanted = {one.network.id for one in self._all() if not one.parked}
        self._use.keep(wanted)
        for id in sorted({*wanted, *removed, *await self._host.networks()}):
            try:
                async with self._locks.of(id):
                    await self._make(id)
            except ZosError as err:
                failures.append(err)
        try:
            await self._fill_places()
        except ZosError as err:
            failures.append(err)
        await self._forget_removed_taps()
        if failures:
            raise failures[0]

    async def _fill_places(self) -> None:
        while (id := crowd.next_built(self._all())) is not None:
            async with self._locks.of(id):
                record = self._records.get(id)
                if record is not None and record.parked and crowd.next_built(self._all()) is not None:
                    await self._build_again(record)

    async def _make_node(self) -> None:
        await self._firewall.reconcile()
        own = dataclasses.replace(self._own, public=self.public())
        observed = await self._host.observe_node()
        await self._host.apply(node.plan(own, observed))
        if not node.choose_or_none(own, observed.nics):
            # Cards that were woken show their carriers now. If none does, the next round says so and takes its time.
            self._wake()

    async def _drop_stray_taps(self) -> None:
        """Remove taps without record that are on no bridge (those on one go with its network or segment)."""
        observed = await self._host.taps()
        strays = observed.keys() - self._taps.devices()
        alone = tuple(sorted(name for name in strays if not observed[name].master))
        if alone:
            await self._host.apply((DropLinks(alone),))
        guards = await self._host.guards() - self._taps.devices()
        if guards:
            await self._host.apply((UnguardTaps(tuple(sorted(guards))),))

    async def _forget_removed_taps(self) -> None:
        removed = {name for name in self._taps.removals.names() if model.is_tap(name)}
        if removed:
            self._taps.removals.over(removed - ((await self._host.taps()).keys() - self._taps.devices()))

    async def _make(self, id: NetId, *, tunnel: bool = True) -> Observed:
        """One network as desired, or gone; returns what was there, with its tunnel as it is now.

        The tunnel may be left as it is.
        """
        record = self._keep_overlays(id)
        taps = self._taps.of_network(id)
        devices = [model.tap(tap.id) for tap in taps]
        desired = layout.desired(record, taps) if record is not None and not record.parked else None
        try:
            if desired is not None:
                await self._firewall.open_ports()
            observed = await self._host.observe(id, devices, tunnel=tunnel and desired is not None)
            steps = plan(desired, observed, id)
            if steps:
                log.info("network %s: %d steps", id, len(steps))
                await self._host.apply(steps)
                if tunnel and desired is not None:
                    observed = dataclasses.replace(observed, tunnel=await self._host.observe_tunnel(id))
            if desired is None:
                await self._firewall.open_ports()
        except ZosError as err:
            self._troubles[id] = err.explain()
            raise
        self._troubles.pop(id, None)
        if desired is not None:
            peers = observed.tunnel.peers.values() if observed.tunnel is not None else ()
            is_used = bool(taps) or any(peer.alive for peer in peers)
            self._use.note(id, self._clock.monotonic(), is_used=is_used)
        self._taps.removals.over((id,))
        return observed

    # Views

    async def networks(self) -> tuple[NetworkInfo, ...]:
        """All networks as they stand."""
        return tuple([self._info(one.network, await self._host.observe_tunnel(one.network.id)) for one in self._all()])

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
        return tuple(sorted({*ports.RESERVED, *busy, *(record.network.listen_port for record in self._all())}))

    def _info(self, network: Network, tunnel: ObservedTunnel | None) -> NetworkInfo:
        record = self._records.get(network.id)
        state = PARKED if record is not None and record.parked else "" if tunnel else "the tunnel is not up"
        return NetworkInfo(
            id=network.id,
            twin=network.twin,
            name=network.name,
            ip_range=network.ip_range,
            subnet=network.subnet,
            namespace=model.namespace(network.id),
            bridge=model.bridge(network.id),
            public_key=public_key(network.private_key),
            listen_port=tunnel.listen_port if tunnel else 0,
            backend=tunnel.backend if tunnel else Backend.KERNEL,
            peers=tuple(peer.info() for peer in tunnel.peers.values()) if tunnel else (),
            detail=self._troubles.get(network.id, state),
            mycelium=network.mycelium,
            former=network.former,
        )

    def _all(self) -> tuple[NetworkRecord, ...]:
        return tuple(record for _, record in self._records.items())
