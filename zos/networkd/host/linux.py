"""The real host: observes by netlink, /proc and `wg`, applies steps by netlink, `nft` and `wg`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from zos.networkd import firewall, model, steps
from zos.networkd.api.errors import KernelRefused
from zos.networkd.api.types import Backend, NetId
from zos.networkd.firewall import ObservedFirewall
from zos.networkd.host import act, dhcp, nftables, nsthread, observe, processes, wireguard, yggdrasil
from zos.networkd.model import Link, Observed
from zos.networkd.node import ObservedNode
from zos.networkd.planetary import ObservedYggdrasil
from zos.networkd.segment import ObservedSegment
from zos.networkd.steps import ROOT, LoneStep, Step
from zos.runtime.proc import ProgramFailed


class LinuxHost:
    """This machine, or the namespaces that stand for one."""

    def __init__(self, run_dir: Path, backend: str = "") -> None:
        self._folder = run_dir / "networkd"
        self._forced = backend
        self._backend: Backend | None = None
        # By link and public key. WireGuard shows where a peer is now, not what it was configured with.
        self._endpoints: dict[str, dict[str, str]] = {}
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

    async def observe(self, id: NetId, taps: Iterable[str] = ()) -> Observed:
        """One network resource, with the taps on it and those named."""
        root = await nsthread.run(lambda: observe.root(id, taps))
        name, wg = model.namespace(id), model.tunnel(id)
        inner = await nsthread.run(observe.inner, name) if nsthread.exists(name) else None
        tunnel = None
        if inner is not None and wg in inner.links:
            tunnel = await wireguard.observe(wg, name, self._endpoints.get(wg, {}))
            self._watch.over(wg, lambda: wireguard.listener(wg))
        return Observed(root, inner, tunnel, wireguard.is_served(wg), observe.udp_ports())

    def planetary_problem(self) -> str:
        """What this machine lacks for the planetary network; empty when nothing."""
        return yggdrasil.problem()

    async def observe_segment(self, bridge: str, taps: Iterable[str] = ()) -> ObservedSegment:
        """A bridge of the node, with the taps on it and those named."""
        return await nsthread.run(lambda: observe.segment(bridge, taps))

    async def observe_firewall(self) -> ObservedFirewall:
        """The tables of the root namespace."""
        return await nsthread.run(observe.firewall)

    async def guards(self) -> frozenset[str]:
        """All our taps that have a guard, whether they are there or not."""
        return frozenset(filter(model.is_tap, await nsthread.run(nftables.chains)))

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
            case steps.DropTunnel():
                self._endpoints.pop(step.link, None)
                await wireguard.drop(step.link)
            case steps.ConfigureTunnel():
                await wireguard.configure(step)
                endpoints = self._endpoints.setdefault(step.link, {})
                endpoints.update({peer.public_key: peer.endpoint for peer in step.put if peer.endpoint})
            case steps.LoadRules():
                await nftables.load(step.ruleset, step.namespace)
            case steps.DropRules():
                await nftables.drop(step.family, step.table, step.namespace)
            case steps.GuardTaps():
                await nftables.change(firewall.guarding(step.guards))
            case steps.UnguardTaps():
                await nftables.change(firewall.unguarding(step.devices))
            case steps.OpenPorts():
                await nftables.change(firewall.opening(step))
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
