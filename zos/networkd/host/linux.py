"""The real host: observes by netlink, /proc and `wg`, applies steps by netlink, libnftables and `wg`."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from zos.networkd import firewall, lookups, model, nft, steps
from zos.networkd.api.errors import KernelRefused
from zos.networkd.api.types import Backend, NetId
from zos.networkd.firewall import ObservedFirewall
from zos.networkd.host import act, dhcp, nftables, nsthread, observe, processes, wireguard, yggdrasil
from zos.networkd.model import Link, Observed, ObservedTunnel
from zos.networkd.node import ObservedNode
from zos.networkd.planetary import ObservedYggdrasil
from zos.networkd.segment import ObservedSegment
from zos.networkd.steps import ROOT, LoneStep, Step
from zos.runtime import linux
from zos.runtime.proc import ProgramFailed


class LinuxHost:
    """This machine, or the namespaces that stand for one."""

    def __init__(self, run_dir: Path, backend: str = "") -> None:
        # What libnftables once took stays with the heap of its thread: 8 MiB for each.
        linux.keep_one_heap()
        self._folder = run_dir / "networkd"
        self._forced = backend
        self._backend: Backend | None = None
        # By link and public key. WireGuard shows where a peer is now, not what it was configured with.
        self._endpoints: dict[str, dict[str, str]] = {}
        self._ending: dict[str, int] = {}
        """The pidfds of processes that were told to end, by link."""
        self._tables = nftables.Tables()
        self._watch = processes.Watch()
        self._yggdrasil = yggdrasil.Yggdrasil(self._folder)

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back when a tunnel or the node's yggdrasil ends by itself."""
        self._watch.callback = callback

    async def networks(self) -> frozenset[NetId]:
        """The networks of which anything exists."""
        return await nsthread.run(observe.networks) | wireguard.networks()

    async def taps(self) -> Mapping[str, Link]:
        return await nsthread.run(observe.taps)

    async def observe_node(self) -> ObservedNode:
        """The node's own part."""
        return await nsthread.run(lambda: observe.node(self._folder))

    async def observe(self, id: NetId, taps: Iterable[str] = (), *, tunnel: bool = True) -> Observed:
        """One network resource, with the taps on it and those named, with or without asking for its tunnel."""
        root = await nsthread.run(lambda: observe.root(id, taps, self._tables))
        name, wg = model.namespace(id), model.tunnel(id)
        inner = await nsthread.run(observe.inner, name) if nsthread.exists(name) else None
        is_there = inner is not None and wg in inner.links
        found = await self.observe_tunnel(id) if is_there and tunnel else None
        return Observed(root, inner, found, wireguard.is_served(wg), observe.udp_ports(), asked=tunnel or not is_there)

    async def observe_tunnel(self, id: NetId) -> ObservedTunnel | None:
        """Its tunnel; None when there is none, or nothing serves it."""
        wg = model.tunnel(id)
        found = await wireguard.observe(wg, model.namespace(id), self._endpoints.get(wg, {}))
        self._watch.over(wg, lambda: wireguard.listener(wg))
        return found

    def planetary_problem(self) -> str:
        """What this machine lacks for the planetary network; empty when nothing."""
        return yggdrasil.problem()

    async def observe_segment(self, bridge: str, taps: Iterable[str] = ()) -> ObservedSegment:
        """A bridge of the node, with the taps on it and those named."""
        return await nsthread.run(lambda: observe.segment(bridge, taps, self._tables))

    async def observe_firewall(self) -> ObservedFirewall:
        """The tables of the root namespace."""
        return await nsthread.run(lambda: observe.firewall(self._tables))

    async def guards(self) -> frozenset[str]:
        """All our taps that have a guard, whether they are there or not."""
        return await nsthread.run(lambda: observe.guarded(self._tables))

    async def observe_yggdrasil(self) -> ObservedYggdrasil:
        peers = await self._yggdrasil.peers()
        if peers is None:
            return ObservedYggdrasil(await processes.run(self._yggdrasil.pid) != 0)
        self._watch.over(yggdrasil.PROGRAM, self._yggdrasil.pid)
        return ObservedYggdrasil(True, self._yggdrasil.started_with(), peers)

    async def apply(self, steps: Sequence[Step]) -> None:
        """Apply the steps in order; consecutive netlink steps in one namespace share a thread."""
        for namespace, group in itertools.groupby(steps, key=_netlink_namespace):
            if namespace is None:
                for step in group:
                    await self._apply(step)
            else:
                batch = tuple(group)
                await nsthread.run(lambda batch=batch: act.all(batch), namespace)  # type: ignore[misc]

    async def _apply(self, step: Step) -> None:
        try:
            await self._do(step)
        except (OSError, ProgramFailed) as err:
            raise KernelRefused(action=step.describe(), problem=getattr(err, "strerror", None) or err) from err

    async def _do(self, step: Step) -> None:
        match step:
            case steps.CreateNamespace():
                await nsthread.run(lambda: nsthread.create(step.namespace))
            case steps.DropNamespace():
                await nsthread.run(lambda: nsthread.remove(step.namespace))
            case steps.CreateTunnel():
                self._endpoints.pop(step.link, None)
                await wireguard.create(step.link, step.namespace, await self._choose_backend(), self._folder)
                self._watch.over(step.link, lambda: wireguard.listener(step.link))
            case steps.EndTunnel():
                self._watch.forget(step.link)
                if (former := self._ending.pop(step.link, None)) is not None:
                    os.close(former)
                if (process := await wireguard.begin_end(step.link)) is not None:
                    self._ending[step.link] = process
            case steps.DropTunnel():
                self._watch.forget(step.link)
                self._endpoints.pop(step.link, None)
                await wireguard.drop(step.link, self._ending.pop(step.link, None))
            case steps.ConfigureTunnel():
                await wireguard.configure(step)
                endpoints = self._endpoints.setdefault(step.link, {})
                endpoints.update({peer.public_key: peer.endpoint for peer in step.put if peer.endpoint})
            case steps.LoadRules():
                text = step.ruleset + lookups.elements("add", step.table, step.known)
                await self._tables.apply(text, step.namespace)
            case steps.KnowAddresses():
                await self._tables.apply(lookups.knowing(step.table, step.new, step.old), step.namespace)
            case steps.DropRules():
                await self._tables.apply(nft.dropping(step.family, step.table), step.namespace)
            case steps.GuardTaps():
                await self._tables.apply(firewall.guarding(step.guards))
            case steps.UnguardTaps():
                await self._tables.apply(firewall.unguarding(step.devices))
            case steps.OpenPorts():
                await self._tables.apply(firewall.opening(step))
            case steps.StartYggdrasil():
                await self._yggdrasil.start(step.config)
            case steps.StopYggdrasil():
                await self._yggdrasil.stop()
            case steps.DialPeer():
                await self._yggdrasil.dial(step.link)
            case steps.StartDhcp():
                await dhcp.start(self._folder, step.link)
            case _:
                raise AssertionError(step)

    async def _choose_backend(self) -> Backend:
        """The backend of new tunnels; found out once."""
        if self._backend is None:
            self._backend = await wireguard.choose(self._forced)
        return self._backend


def _netlink_namespace(step: Step) -> str | None:
    """The namespace that a netlink step works in; None for any other step."""
    return None if isinstance(step, LoneStep) else getattr(step, "namespace", ROOT)
