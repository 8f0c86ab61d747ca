"""Two nodes joined by a cable, each with its networkd, and machines as namespaces on their bridges."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

from netns import Node, eventually, join, node

from zos.bus import Unreachable
from zos.model import names
from zos.networkd.api import NetId, Network, NetworkdClient, Peer, Place, Tap, TapId
from zos.networkd.api.check import public_key

OPEN = """\
open = ["192.0.2.0/24", "2001:db8::/64"]
accept = ["tcp/25", "tcp/587", "tcp/7777"]
every = 1.0
"""
"""The cable between two nodes stands for the Internet, which a tenant reaches although the uplink is in it."""


def new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


@dataclass
class Side:
    """One node with what tests need of it."""

    node: Node
    address: str
    client: NetworkdClient

    async def ready(self) -> None:
        """Wait until networkd answers and the uplink is in place."""
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(Unreachable):
                    uplinks = await self.client.uplinks()
                    if uplinks and uplinks[0].name == "zos" and uplinks[0].addresses:
                        return
                await asyncio.sleep(0.05)

    async def machine(self, name: str, network: NetId, ip: str, gateway: str) -> None:
        """A guest: a namespace with an `eth0` that is a port of the network's bridge, in the place of a tap's guest."""
        self.node.sh(
            f"ip netns add {name} && ip link add name {name} type veth peer name eth0 netns {name} &&"
            f"ip link set dev {name} master b-{network} up && ip -n {name} link set lo up &&"
            f"ip -n {name} addr add {ip}/24 dev eth0 && ip -n {name} link set eth0 up &&"
            f"ip -n {name} route add default via {gateway}"
        )
        # It has no guest, but only the addresses of taps are looked for.
        await self.client.ensure_tap(tap(network, ip, name))

    def pings(self, target: str, machine: str, *, size: int = 56) -> bool:
        """Whether a machine gets one answer."""
        return self.node.ok(f"busybox ping -c1 -W1 -s {size} {target}", namespace=machine)

    def wireguard_go(self, network: NetId) -> str:
        """The pid (inside) of the tunnel's process."""
        return self.node.sh(f"pgrep -f '[w]ireguard-go -f w-{network}'").strip()

    def world(self) -> set[str]:
        """Everything that a network could leave behind."""
        shown = self.node.sh(
            "ip -o addr; ip -o link; ip route; ip -6 route; ip rule; ip netns; ls /run/netns/* /run/wireguard/*;"
            # Without what rules remember of packets.
            "nft -t list ruleset; for set in 'set inet zos wireguard' 'map bridge zos taps' 'set bridge zos near';"
            "do nft list $set; done; cat /proc/mounts; pgrep -a wireguard-go || true"
        )
        shown = re.sub(r"(valid_lft|preferred_lft|packets|bytes) \S+| tentative", "", shown)
        # The shared mount of /run/netns is made once and stays, as after `ip netns add`.
        return {line for line in shown.splitlines() if "/run/netns tmpfs" not in line}


def networks(left: Side, right: Side, twin: int = 1, ports: tuple[int, int] = (4001, 4002)) -> tuple[Network, Network]:
    """One user network over two nodes: 10.20.2.0/24 and 10.20.3.0/24."""
    id = NetId(names.net_id(twin, "net"))
    keys = new_key(), new_key()
    base = Network(id, twin, "net", "10.20.0.0/16", "10.20.2.0/24", keys[0], ports[0])
    to_right = Peer(
        "10.20.3.0/24", public_key(keys[1]), f"{right.address}:{ports[1]}", ("10.20.3.0/24", "100.64.20.3/32")
    )
    to_left = Peer(
        "10.20.2.0/24", public_key(keys[0]), f"{left.address}:{ports[0]}", ("10.20.2.0/24", "100.64.20.2/32")
    )
    return (
        dataclasses.replace(base, peers=(to_right,)),
        dataclasses.replace(base, subnet="10.20.3.0/24", private_key=keys[1], listen_port=ports[1], peers=(to_left,)),
    )


def tap(network: NetId, ip: str, name: str = "vm1") -> Tap:
    id = TapId(names.unique(f"1-1-{name}", "net"))
    return Tap(id, Place.NETWORK, names.mac(id), network, ip=ip)


@contextlib.asynccontextmanager
async def two_nodes(prefix: str = "192.0.2", config: str = OPEN) -> AsyncIterator[tuple[Side, Side]]:
    with node("a") as a, node("b") as b:
        join(a, b)
        a.sh(f"ip addr add {prefix}.1/24 dev eth0; ip route add default via {prefix}.2")
        b.sh(f"ip addr add {prefix}.2/24 dev eth0")
        try:
            async with a.bus() as to_a, b.bus() as to_b:
                sides = Side(a, f"{prefix}.1", NetworkdClient(to_a)), Side(b, f"{prefix}.2", NetworkdClient(to_b))
                for side in sides:
                    side.node.networkd(config)
                for side in sides:
                    await side.ready()
                yield sides
        except BaseException:
            sys.stderr.write(a.logs() + b.logs())
            raise


@contextlib.asynccontextmanager
async def one_network() -> AsyncIterator[tuple[Side, Side, Network, Network]]:
    """Two nodes, a network over both, a machine `m` on each, overlay up."""
    async with two_nodes() as (a, b):
        left, right = networks(a, b)
        await asyncio.gather(a.client.ensure_network(left), b.client.ensure_network(right))
        await a.machine("m", left.id, "10.20.2.2", "10.20.2.1")
        await b.machine("m", right.id, "10.20.3.2", "10.20.3.1")
        await reaches(a, "10.20.3.2")
        yield a, b, left, right


async def settles(side: Side, before: set[str]) -> None:
    """Wait until the node is as it was."""
    with contextlib.suppress(AssertionError):
        await eventually(lambda: side.world() == before, 10)
    now = side.world()
    assert now == before, f"too much: {sorted(now - before)}; missing: {sorted(before - now)}"


async def reaches(side: Side, target: str, machine: str = "m", deadline: float = 15) -> None:
    await eventually(lambda: side.pings(target, machine), deadline)
