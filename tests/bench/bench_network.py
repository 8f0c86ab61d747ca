"""Network resources: time to build and to remove one, against bare tools that do the same work.

    python tests/bench/bench_network.py [--count 50] [--rounds 3] [--pyroute2]

Several ways, interleaved, each in a throw-away node of its own:

- `links`: `ip netns add` and two `ip -batch` per resource: the links, addresses and routes alone
- `whole`: the same, then sysctls, `nft -f`, a WireGuard link (wireguard-go where the kernel has none), `wg setconf`
- `networkd`: a call of the daemon per resource, one after the other; and all at once
- `pyroute2` (with `--pyroute2`, when it is installed): the same with pyroute2 in the place of our netlink messages
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import dataclasses
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "root"))

from netns import Node, join, node

from zos.bus import Unreachable
from zos.model import names
from zos.networkd import layout, model
from zos.networkd.api import NetId, Network, NetworkdClient, Peer
from zos.networkd.api.check import public_key
from zos.networkd.model import NetworkRecord

PEER = base64.b64encode(bytes(range(32))).decode()


def requests(count: int) -> list[Network]:
    """Networks of as many tenants, each with one peer."""
    peer = Peer("10.20.3.0/24", public_key(PEER), "192.0.2.2:5000", ("10.20.3.0/24", "100.64.20.3/32"))
    key = base64.b64encode(os.urandom(32)).decode()
    base = Network(NetId(""), 0, "net", "10.20.0.0/16", "10.20.2.0/24", key, 0, (peer,))
    return [
        dataclasses.replace(base, id=NetId(names.net_id(twin, "net")), twin=twin, listen_port=10000 + twin)
        for twin in range(1, count + 1)
    ]


def bare_links(network: Network, slot: int) -> str:
    """Shell lines for the links of one resource."""
    id, name = network.id, model.namespace(network.id)
    bridge, port, out = model.bridge(id), model.port(id), model.exit(id)
    desired = layout.desired(NetworkRecord(network, slot), ())
    inside = [f"addr add {a.local} dev {name}{_nodad(a.local)}" for a in desired.inner.links[name].addresses]
    exit4, exit6 = model.exit_address(slot), model.exit_address6(slot)
    host = [
        f"link add name {bridge} type bridge",
        f"link add name {port} type veth peer name {name} netns {name}",
        f"link add name {out} type veth peer name public netns {name}",
        f"link set dev {port} master {bridge} up",
        f"link set dev {bridge} up",
        f"addr add {model.EXIT_GATEWAY} peer {exit4} dev {out}",
        f"addr add fe80::1/64 dev {out} nodad",
        f"link set dev {out} up",
        f"route add {exit6}/128 dev {out}",
    ]
    inner = [
        "link set dev lo up",
        *inside,
        f"link set dev {name} up",
        f"addr add {exit4} peer {model.EXIT_GATEWAY} dev public",
        f"addr add {exit6}/64 dev public nodad",
        "link set dev public up",
        f"route add default via {model.EXIT_GATEWAY}",
        "route add default via fe80::1 dev public",
    ]
    return f"ip netns add {name}\n{_batch('', host)}{_batch(f'-n {name}', inner)}"


def _nodad(address: str) -> str:
    return " nodad" if ":" in address else ""


def _batch(where: str, lines: list[str]) -> str:
    text = "\n".join(lines)
    return f"ip {where} -batch - <<'END'\n{text}\nEND\n"


def bare_whole(network: Network, slot: int, kernel: bool) -> str:
    """Shell lines for all of one resource."""
    name, wg = model.namespace(network.id), model.tunnel(network.id)
    sysctls = "".join(f"echo {value} > /proc/sys/{key}\n" for key, value in model.FORWARDING.items())
    make = f"ip link add {wg} type wireguard"
    if not kernel:
        # It answers the shell before it answers `wg`.
        make = f"wireguard-go {wg} >/dev/null 2>&1\nuntil wg show {wg} >/dev/null 2>&1; do sleep 0.002; done"
    peer = network.peers[0]
    config = (
        f"[Interface]\nPrivateKey = {network.private_key}\nListenPort = {network.listen_port}\n[Peer]\n"
        f"PublicKey = {peer.public_key}\nAllowedIPs = {', '.join(peer.allowed_ips)}\nEndpoint = {peer.endpoint}\n"
    )
    inner = [f"addr add {names.wg_address(network.subnet)}/16 dev {wg}", f"link set dev {wg} mtu 1420 up"]
    inner.append(f"route add {network.ip_range} dev {wg}")
    ipv6 = f"echo 1 > /proc/sys/net/ipv6/conf/{model.bridge(network.id)}/disable_ipv6\n"
    return (
        f"{bare_links(network, slot)}{ipv6}"
        f"nsenter --net=/run/netns/{name} sh -c '{sysctls}exec nft -f -' <<'END'\n{layout.rules(network)}END\n"
        f"{make}\nip link set {wg} netns {name}\n"
        f"nsenter --net=/run/netns/{name} wg setconf {wg} /dev/stdin <<'END'\n{config}END\n"
        f"{_batch(f'-n {name}', inner)}"
    )


def bare_drop(network: Network, whole: bool) -> str:
    """Shell lines that remove one resource."""
    id = network.id
    links = "".join(f"ip link del {link}\n" for link in (model.bridge(id), model.port(id), model.exit(id)))
    tunnel = f"ip -n n-{id} link del {model.tunnel(id)}\n" if whole else ""
    return f"{tunnel}{links}ip netns del n-{id}\n"


@contextlib.contextmanager
def lonely() -> Iterator[Node]:
    """A node with a cable to nobody."""
    with node("bench") as here, node("far") as far:
        join(here, far)
        here.sh("ip addr add 192.0.2.1/24 dev eth0; ip route add default via 192.0.2.2")
        yield here


def timed_shell(here: Node, lines: list[str]) -> float:
    """Seconds for a script inside, from a file, so that the shell's start counts once."""
    (here.folder / "script").write_text("set -e\n" + "\n".join(lines))
    began = time.perf_counter()
    here.sh(f"sh {here.folder}/script", deadline=300)
    return time.perf_counter() - began


def bare(networks: list[Network], whole: bool) -> tuple[float, float]:
    """Seconds to build and to remove."""
    with lonely() as here:
        kernel = here.ok("ip link add wgtry type wireguard && ip link del wgtry")
        make = [
            bare_whole(network, slot, kernel) if whole else bare_links(network, slot)
            for slot, network in enumerate(networks)
        ]
        built = timed_shell(here, make)
        return built, timed_shell(here, [bare_drop(network, whole) for network in networks])


OURS = ("-m", "zos.networkd")
PYROUTE2 = (str(Path(__file__).parent / "pyroute2_netlink.py"),)


async def ours(networks: list[Network], together: bool, program: tuple[str, ...] = OURS) -> tuple[float, float]:
    """Seconds to build and to remove through the daemon."""
    with lonely() as here:
        here.networkd(program=program)
        async with here.bus() as bus:
            client = NetworkdClient(bus)
            await ready(client)
            built = await timed([partial(client.ensure_network, n, deadline=120) for n in networks], together)
            again = await timed([partial(client.ensure_network, n) for n in networks[:10]], False)
            print(f"    (the same again: {again / 10 * 1000:.1f} ms; the daemon has {resident(here):.1f} MiB)")
            return built, await timed([partial(client.drop_network, n.id, deadline=120) for n in networks], together)


def resident(here: Node) -> float:
    """MiB of the daemon's own memory."""
    processes = 'grep -lE "networkd|pyroute2_netlink" /proc/[0-9]*/cmdline | sed s/cmdline/status/'
    found = here.sh(f"grep -h ^RssAnon $({processes}) | sort -k2n")
    return int(found.split()[-2]) / 1024


async def timed(calls: list[Callable[[], Awaitable[object]]], together: bool) -> float:
    """Seconds for all calls."""
    began = time.perf_counter()
    if together:
        await asyncio.gather(*(call() for call in calls))
    else:
        for call in calls:
            await call()
    return time.perf_counter() - began


async def ready(client: NetworkdClient) -> None:
    """Wait for the daemon and its uplink."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(Unreachable):
                if any(uplink.name == "zos" and uplink.addresses for uplink in await client.uplinks()):
                    return
            await asyncio.sleep(0.05)


def main() -> None:
    """Print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=50, help="network resources per run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pyroute2", action="store_true", help="compare with pyroute2's netlink")
    asked = parser.parse_args()
    networks = requests(asked.count)
    ways: dict[str, Callable[[], tuple[float, float]]] = {
        "links": lambda: bare(networks, whole=False),
        "whole": lambda: bare(networks, whole=True),
        "networkd": lambda: asyncio.run(ours(networks, together=False)),
        "networkd, all at once": lambda: asyncio.run(ours(networks, together=True)),
    }
    if asked.pyroute2:
        ways["pyroute2"] = lambda: asyncio.run(ours(networks, together=False, program=PYROUTE2))
        ways["pyroute2, all at once"] = lambda: asyncio.run(ours(networks, together=True, program=PYROUTE2))
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(asked.rounds):
        for name, way in ways.items():
            built, dropped = (seconds / asked.count * 1000 for seconds in way())
            found[name].append((built, dropped))
            print(f"round {number + 1}  {name:<24} build {built:7.1f} ms   remove {dropped:7.1f} ms", flush=True)
    middle = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}
    print(f"\n{'per resource, median':<26}{'build ms':>9}{'remove ms':>11}{'build / links':>15}{'build / whole':>15}")
    for name, (built, dropped) in middle.items():
        ratios = f"{built / middle['links'][0]:>15.2f}{built / middle['whole'][0]:>15.2f}"
        print(f"{name:<26}{built:>9.1f}{dropped:>11.1f}{ratios}")
    print(json.dumps({"count": asked.count, "build_remove_ms": middle}))


if __name__ == "__main__":
    main()
