"""Two nodes with real yggdrasil, and machines behind their taps as QEMU would be."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

from netns import Node, eventually, join, node, until

from zos.bus import Unreachable
from zos.core0.api import Core0Client
from zos.model import names
from zos.networkd.api import NetworkdClient, Place, Tap, TapId, TapInfo

# Carries frames between a tap of the node (its headers included, as QEMU reads them) and a guest's own interface.
CABLE = """
import ctypes, fcntl, os, select, struct, sys
def tap(name):
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x0002 | 0x1000 | 0x4000))
    return device
outer = tap(sys.argv[1])
inside = os.open("/run/netns/" + sys.argv[2], os.O_RDONLY)
assert ctypes.CDLL(None).setns(inside, 0x40000000) == 0
inner = tap("eth1")
print("ready", flush=True)
while True:
    for device in select.select([outer, inner], [], [])[0]:
        try:
            os.write(inner if device == outer else outer, os.read(device, 70000))
        except OSError:
            pass
"""


_SERVE6 = """
import socket, socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
Server((sys.argv[1], int(sys.argv[2])), Echo).serve_forever()
"""


def plug(node: Node, name: str, info: TapInfo) -> subprocess.Popen[bytes]:
    """Make a namespace with what a guest behind the tap has on `eth1`; returns the cable between them."""
    (route,) = info.routes
    node.sh(f"ip netns add {name} && ip -n {name} link set lo up")
    cable = node.start(sys.executable, "-c", CABLE, info.device, name, log=f"cable-{name}.log")
    until(lambda: node.ok("ip link show eth1", namespace=name))
    node.sh(
        f"echo 0 > /proc/sys/net/ipv6/conf/eth1/accept_dad;"
        f"ip link set eth1 address {info.mac} up && ip addr add {info.addresses[0]} dev eth1 &&"
        f"ip route add {route.dest} via {route.via}",
        namespace=name,
    )
    return cable


@dataclass
class Side:
    """One node of the planetary network."""

    node: Node
    client: NetworkdClient
    core0: Core0Client
    supervisor: subprocess.Popen[bytes] | None = None
    cables: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def boot(self, config: str = "") -> None:
        """Start core-0, which starts networkd with the powers that it has on a node."""
        self.supervisor = self.node.supervised_networkd(f"every = 1.0\n{config}")

    async def joined(self, peers: int = 1) -> None:
        """Wait until the node is in the planetary network."""
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(Unreachable):
                    found = await self.client.planetary()
                    if found.offered and len(found.peers) >= peers:
                        return
                await asyncio.sleep(0.05)

    async def machine(self, name: str) -> TapInfo:
        """A guest: a namespace with what the seed would give it on `eth1`."""
        id = TapId(names.unique(f"1-1-{name}", "ygg"))
        info = await self.client.ensure_tap(Tap(id, Place.PLANETARY, names.mac(f"ygg:{id}")))
        self.cables[name] = plug(self.node, name, info)
        return info

    def end(self, name: str) -> None:
        """The guest ends; its tap stays."""
        self.node.kill(self.cables.pop(name))
        self.node.sh(f"ip netns del {name}")

    def pings(self, target: str, machine: str = "", options: str = "") -> bool:
        """Whether a machine, or the node, gets one answer."""
        return self.node.ok(f"ping -6 -c1 -W1 {options} {target}", namespace=machine)

    def yggdrasil(self) -> str:
        """The process (inside); empty when there is none."""
        return self.node.sh("pgrep -x yggdrasil || true").strip()

    async def unit(self, name: str = "networkd") -> int:
        """A daemon's process (inside)."""
        return next(one.pid for one in await self.core0.units() if one.name == name)

    def world(self) -> set[str]:
        """Everything of the planetary network that could be left behind."""
        return set(
            self.node.sh(
                "ip -o link; ip -o addr; ip -6 route; nft list tables; pgrep -ax yggdrasil || true"
            ).splitlines()
        )


@contextlib.contextmanager
def _logs(*nodes: Node) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for one in nodes:
            sys.stderr.write(one.logs())
            sys.stderr.write("\n".join(path.read_text() for path in one.run_dir.glob("networkd/*.log")))
        raise


@contextlib.asynccontextmanager
async def two_nodes(left: str = "", right: str = "") -> AsyncIterator[tuple[Side, Side]]:
    with node("a") as a, node("b") as b, _logs(a, b):
        join(a, b)
        a.sh("ip addr add 192.0.2.1/24 dev eth0")
        b.sh("ip addr add 192.0.2.2/24 dev eth0")
        async with a.bus() as to_a, b.bus() as to_b:
            sides = (
                Side(a, NetworkdClient(to_a), Core0Client(to_a)),
                Side(b, NetworkdClient(to_b), Core0Client(to_b)),
            )
            for side, config in zip(sides, (left, right), strict=True):
                side.boot(config)
            for side in sides:
                await side.joined()
            yield sides


async def reaches(side: Side, target: str, machine: str = "", deadline: float = 20) -> None:
    await eventually(lambda: side.pings(target, machine), deadline)
