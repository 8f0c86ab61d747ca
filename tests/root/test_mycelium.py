"""Mycelium on a real kernel: routers in namespaces of their own, TCP between them, real TUNs, the kernel's own ping."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from netns import Node, join, node, until

from zos.bus import Unreachable
from zos.core0.api import Core0Client
from zos.mycelium.api import Identity, IdentityId, IdentityInfo, KeyTaken, MyceliumClient, NoMycelium

pytestmark = [pytest.mark.root, pytest.mark.timeout(150)]

EVERY = "every = 0.5\n"
OVERLAY = "400::/7"


def key(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


@dataclass
class Side:
    """A node that runs mycelium, with clients for it and for its core-0."""

    node: Node
    client: MyceliumClient
    core0: Core0Client
    supervisor: subprocess.Popen[bytes] | None = None
    keys: dict[str, bytes] = field(default_factory=dict)

    def boot(self, config: str = "discovery = []") -> None:
        """Start core-0, which starts mycelium with the powers that it has on a node."""
        self.supervisor = self.node.supervised_mycelium(EVERY + config)

    def halt(self) -> None:
        """The whole node's software ends at once."""
        assert self.supervisor is not None
        for pid in self.node.sh("pgrep -f zos.core0 || true").split():
            self.node.sh(f"kill -9 {pid} 2>/dev/null || true")
        self.supervisor.wait(10)
        self.node.daemons.remove(self.supervisor)

    async def peers(self, count: int) -> None:
        """Wait until so many others are connected."""
        await eventually(lambda: self._has(count))

    async def _has(self, count: int) -> bool:
        with contextlib.suppress(Unreachable):
            return len((await self.client.overlay()).peers) == count
        return False

    async def pid(self) -> int:
        """The process of mycelium, as numbered inside the node's namespace."""
        return next(one.pid for one in await self.core0.units() if one.name == "mycelium")

    def device(self, name: str, info: IdentityInfo) -> None:
        """What networkd makes: a namespace with an addressed TUN."""
        self.node.sh(f"ip netns add {name} && ip -n {name} link set lo up")
        self.node.sh(
            f"ip tuntap add mode tun name my && ip link set my mtu 1400 up && ip addr add {info.gateway}/64 dev my &&"
            f"ip route add {OVERLAY} dev my",
            namespace=name,
        )

    async def network(self, name: str) -> IdentityInfo:
        """A user's network: its identity, and the device that networkd would make for it."""
        identity = Identity(IdentityId(name), key(name), name, "my")
        info = await self.client.ensure_identity(identity)
        self.device(name, info)
        await self.attached(name)
        return info

    async def attached(self, name: str) -> None:
        """Wait until a network's packets come and go."""

        async def is_attached() -> bool:
            return any(one.attached for one in await self.client.identities() if one.id == name)

        await eventually(is_attached)

    def pings(self, name: str, target: str, options: str = "") -> bool:
        """Whether a network gets one answer."""
        return self.node.ok(f"ping -6 -c1 -W1 {options} {target}", namespace=name)


async def eventually(claim: Callable[[], object], deadline: float = 30) -> None:
    async with asyncio.timeout(deadline):
        while True:
            found = claim()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.05)


@pytest.fixture
def nodes() -> Iterator[tuple[Node, ...]]:
    """Four nodes a, b, c, d with cables a-b, b-c, a-d, d-c."""
    with node("a") as a, node("b") as b, node("c") as c, node("d") as d:
        for number, (left, right) in enumerate(((a, b), (b, c), (a, d), (d, c)), 1):
            join(left, right, f"to-{right.name}", f"to-{left.name}")
            left.sh(f"ip addr add 10.0.{number}.1/24 dev to-{right.name}")
            right.sh(f"ip addr add 10.0.{number}.2/24 dev to-{left.name}")
        yield a, b, c, d


@pytest.fixture
async def sides(nodes: tuple[Node, ...]) -> AsyncIterator[tuple[Side, ...]]:
    made = []
    async with contextlib.AsyncExitStack() as stack:
        for one in nodes:
            bus = await stack.enter_async_context(one.bus())
            made.append(Side(one, MyceliumClient(bus), Core0Client(bus)))
        yield tuple(made)


async def is_up(side: Side) -> bool:
    with contextlib.suppress(Unreachable):
        return (await side.client.overlay()).offered
    return False


async def line(sides: tuple[Side, ...]) -> tuple[IdentityInfo, IdentityInfo]:
    """a and c dial b, which is between them; a user's network at each end."""
    a, b, c, _ = sides
    b.boot()
    a.boot('discovery = []\npeers = ["tcp://10.0.1.2:9651"]')
    c.boot('discovery = []\npeers = ["tcp://10.0.2.1:9651"]')
    await b.peers(2)
    return await a.network("left"), await c.network("right")


async def test_two_ends_of_a_line_meet_and_meet_again_when_the_middle_comes_back(sides: tuple[Side, ...]):
    a, b, c, _ = sides
    left, right = await line(sides)
    until(lambda: a.pings("left", right.gateway))
    assert c.pings("right", left.gateway)
    # A packet of the device's whole size passes, a larger one is the kernel's to refuse.
    assert a.pings("left", right.gateway, "-s 1352 -M do")
    assert not a.pings("left", right.gateway, "-s 1353 -M do")
    # b is neither end; it only sees what is sealed.
    assert [one.id for one in await b.client.identities()] == []

    old = await b.pid()
    b.node.sh(f"kill -9 {old}")
    await eventually(lambda: _changed(b, old))
    until(lambda: a.pings("left", right.gateway))


async def _changed(side: Side, old: int) -> bool:
    with contextlib.suppress(Unreachable):
        return await side.pid() not in (0, old) and (await side.client.overlay()).offered
    return False


async def test_another_way_takes_over_when_the_middle_is_gone_for_good(sides: tuple[Side, ...]):
    a, b, c, d = sides
    d.boot()
    b.boot()
    for side, ends in ((a, ("10.0.1.2", "10.0.3.2")), (c, ("10.0.2.1", "10.0.4.1"))):
        peers = ", ".join(f'"tcp://{end}:9651"' for end in ends)
        side.boot(f"discovery = []\npeers = [{peers}]")
    await a.peers(2)
    await c.peers(2)
    await a.network("left")
    right = await c.network("right")
    until(lambda: a.pings("left", right.gateway))
    b.halt()
    until(lambda: a.pings("left", right.gateway))
    d.halt()
    await a.peers(0)
    assert not a.pings("left", right.gateway)


async def test_a_wire_that_falls_silent_is_noticed_by_traffic(sides: tuple[Side, ...]):
    a, b, c, d = sides
    d.boot()
    _left, right = await line((a, b, c, d))
    until(lambda: a.pings("left", right.gateway))
    # Frames vanish without a word, as behind a switch that lost its power.
    b.node.sh("ip link set to-a down")
    assert not a.pings("left", right.gateway)
    await asyncio.to_thread(until, lambda: not a.pings("left", right.gateway) and _links(a) == 0, 40)
    b.node.sh("ip link set to-a up")
    await asyncio.to_thread(until, lambda: a.pings("left", right.gateway), 30)


async def test_a_wire_that_falls_silent_is_noticed_within_twenty_seconds_without_any_traffic(sides: tuple[Side, ...]):
    a, b, c, d = sides
    d.boot()
    await line((a, b, c, d))
    b.node.sh("ip link set to-a down")
    began = time.monotonic()
    await asyncio.to_thread(until, lambda: _links(a) == 0, 30)
    assert time.monotonic() - began < 20


def _links(side: Side) -> int:
    return int(side.node.sh("ss -Hnt state established 'dport = 9651' | wc -l"))


async def test_a_killed_daemon_is_back_with_its_identities_and_devices_are_untouched(sides: tuple[Side, ...]):
    a, _, c, _ = sides
    left, right = await line(sides)
    until(lambda: c.pings("right", left.gateway))
    before = a.node.sh("ip -o link show my; ip -6 route show dev my", namespace="left").replace("linkdown", "")
    old = await a.pid()
    a.node.sh(f"kill -9 {old}")
    await eventually(lambda: _changed(a, old))
    until(lambda: a.pings("left", right.gateway))
    assert a.node.sh("ip -o link show my; ip -6 route show dev my", namespace="left") == before


async def test_two_networks_of_one_process_reach_each_other_and_the_world(sides: tuple[Side, ...]):
    a, _, c, _ = sides
    left, right = await line(sides)
    other = await a.network("other")
    until(lambda: a.pings("other", left.gateway))
    until(lambda: c.pings("right", other.gateway))
    assert a.pings("left", other.gateway)
    with pytest.raises(KeyTaken):
        await a.client.ensure_identity(Identity(IdentityId("third"), key("left"), "left", "my"))
    await a.client.drop_identity(IdentityId("other"))
    assert not a.pings("left", other.gateway)
    assert a.pings("left", right.gateway)
    with pytest.raises(NoMycelium):
        await a.client.identity(IdentityId("other"))


async def test_errors_of_the_overlay_reach_the_program(sides: tuple[Side, ...]):
    a, b, _c, _ = sides
    _left, right = await line(sides)
    until(lambda: a.pings("left", right.gateway))
    # Nobody owns it; an address beside the node's own; a hop limit that ends in b.
    nobody = "5ff:1:2:3::1"
    said = await asyncio.to_thread(
        a.node.sh, f"ping -6 -c1 -W20 -w20 {nobody} || true", namespace="left", check=False, deadline=25
    )
    assert "No route" in said
    ended = a.node.sh(f"ping -6 -c1 -W2 -t 2 {right.gateway} || true", namespace="left")
    assert "Hop limit" in ended or "Time exceeded" in ended
    middle = (await b.client.overlay()).subnet.removesuffix("/64")
    assert middle in ended


async def test_a_namespace_that_is_built_anew_is_entered_anew(sides: tuple[Side, ...]):
    a, _, c, _ = sides
    left, _right = await line(sides)
    until(lambda: c.pings("right", left.gateway))
    a.node.sh("ip netns del left")
    await eventually(lambda: _is_detached(a))
    a.device("left", left)
    await a.attached("left")
    until(lambda: c.pings("right", left.gateway))


async def _is_detached(side: Side) -> bool:
    return not any(one.attached for one in await side.client.identities())


async def test_neighbours_find_each_other_without_being_told(sides: tuple[Side, ...]):
    a, b, _, _ = sides
    # Link-local addresses must be settled before anybody sends beacons.
    for side, link in ((a, "to-b"), (b, "to-a")):
        until(lambda side=side, link=link: not side.node.ok(f"ip -6 -o addr show dev {link} | grep -q tentative"))
        side.boot(f'discovery = ["{link}"]')
        await eventually(partial(is_up, side))
    left, right = await a.network("left"), await b.network("right")
    until(lambda: a.pings("left", right.gateway), 30)
    (peer,) = set((await a.client.overlay()).peers) or {""}
    assert peer.startswith("tcp://[fe80:")
    assert left != right


async def test_keys_are_seen_by_root_alone_and_in_no_log(sides: tuple[Side, ...]):
    a = sides[0]
    await line(sides)
    (record,) = (a.node.folder / "state/mycelium/identities").glob("*.json")
    assert stat.S_IMODE(os.stat(record).st_mode) == 0o600
    assert key("left").hex() not in a.node.logs()
    commands = a.node.sh("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' ' '")
    assert key("left").hex() not in commands
