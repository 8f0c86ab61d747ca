"""What a lab consists of: its boxes, their addresses, folders and disks. Pure.

A box is a set of namespaces (network, mount, PID, UTS) under a tiny init. The "Internet" is a bridge in the box of
that name; every other box has one cable (veth) to it, called eth0 inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from zos.model.units import Bytes, GiB

NET = "198.51.100.0/24"
PREFIX = 24
DESK_ADDRESS = "198.51.100.1"
"""The host's own end, so that its user reaches chain and hub."""
EXIT_ADDRESS = "198.51.100.254"
"""The Internet's bridge: everybody's default gateway, with nothing behind it."""
PUBLIC_NET = "192.0.1.0/24"
"""Where nodes get public addresses: clients take the ranges for documentation for private ones and refuse them, and
this one is announced by nobody."""
PUBLIC6_NET = "2a00:0:0:1::/64"
CHAIN_PORT = 9944
HUB_PORT = 8080
WEB_PORT = 80
FORWARD_PORT = 3128
KYC_NAMES = tuple(f"kyc.{network}grid.tf" for network in ("dev.", "qa.", "test.", ""))
"""What clients ask whether a user is verified; the lab answers in their place."""
TERMS_NAME = "raw.githubusercontent.com"
"""Where clients fetch the terms and conditions that a new account accepts; the lab answers in its place too."""
TLS_PORT = 443
DESK_LINK = "zoslab0"
INTERNET = "internet"
LIMIT_OF_NODES = 60
DISK_SIZE = GiB(60)
"""Sparse. The chain wants a node to have at least 100 GiB of SSD."""


class Kind(StrEnum):
    """What a box is for."""

    INTERNET = "internet"
    CHAIN = "chain"
    HUB = "hub"
    RELAY = "relay"
    GRIDPROXY = "gridproxy"
    USER = "user"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Box:
    """One set of namespaces."""

    name: str
    kind: Kind
    address: str
    mac: str

    @property
    def public_config(self) -> dict[str, Any]:
        """What the farmer sets on the chain, when this node is to be a public one."""
        last = self.address.rpartition(".")[2]
        return {
            "ip4": {"ip": f"192.0.1.{last}/24", "gw": "192.0.1.254"},
            "ip6": {"ip": f"2a00:0:0:1::{last}/64", "gw": "2a00:0:0:1::fe"},
            "domain": f"{self.name}.lab",
        }


@dataclass(frozen=True, slots=True)
class Topology:
    """How large a lab is."""

    nodes: int = 2
    disks: int = 2
    """Per node."""
    disk_size: Bytes = DISK_SIZE
    block_time: float = 1.0
    """Seconds between two blocks of the lab's chain."""

    def boxes(self) -> tuple[Box, ...]:
        """Every box, in the order they are started."""
        services = (
            _box(INTERNET, Kind.INTERNET, 254),
            _box("chain", Kind.CHAIN, 10),
            _box("hub", Kind.HUB, 11),
            _box("relay", Kind.RELAY, 12),
            _box("gridproxy", Kind.GRIDPROXY, 13),
            _box("user", Kind.USER, 100),
        )
        return services + tuple(self.node_boxes())

    def node_boxes(self) -> Iterator[Box]:
        """The nodes alone."""
        for number in range(1, self.nodes + 1):
            # .100 is the user's
            last = 20 + number if number < 80 else 21 + number
            yield _box(node_name(number), Kind.NODE, last)

    def box(self, name: str) -> Box | None:
        """The box of this name."""
        return next((box for box in self.boxes() if box.name == name), None)


def node_name(number: int) -> str:
    """The name of the lab's n-th node, counted from 1."""
    return f"node-{number}"


def _box(name: str, kind: Kind, last: int) -> Box:
    return Box(name, kind, f"198.51.100.{last}", f"02:5a:4f:53:00:{last:02x}")


ACTIVATION_URL = f"http://198.51.100.10:{CHAIN_PORT}/activation/activate"
CHAIN_URL = f"ws://198.51.100.10:{CHAIN_PORT}"
HUB_URL = f"http://198.51.100.11:{HUB_PORT}"
RELAY_DOMAIN = "198.51.100.12"
"""What twins write on the chain: the chain refuses a port, so clients reach the relay on the ports of the web."""
RELAY_URL = f"ws://{RELAY_DOMAIN}"
PROXY_URL = "http://198.51.100.13"
FORWARD_URL = "http://198.51.100.13:3128"
"""A forward proxy for clients whose KYC address is built in: it brings them to the lab's own."""
CHAIN_TLS_URL = "wss://198.51.100.10"
PROXY_TLS_URL = "https://198.51.100.13"
RELAY_TLS_URL = f"wss://{RELAY_DOMAIN}"


@dataclass(frozen=True, slots=True)
class Layout:
    """The lab's folders on this machine."""

    state: Path = Path("/var/lib/zos-lab")
    """Survives `kill -9` of everything: disks, keys, the chain's storage, what the lab is."""
    run: Path = Path("/run/zos-lab")
    """One folder per box; each is that box's /run."""

    def box_state(self, box: str) -> Path:
        """What a box keeps."""
        return self.state / box

    def box_run(self, box: str) -> Path:
        """A box's /run, seen from outside."""
        return self.run / box

    def sockets(self, box: str) -> Path:
        """Where a node's daemons listen, seen from outside."""
        return self.box_run(box) / "zos"

    def log(self, box: str, unit: str) -> Path:
        """A unit's log, seen from outside."""
        return self.box_run(box) / "log" / f"{unit}.log"

    def disk(self, box: str, number: int) -> Path:
        """The file behind a node's disk."""
        return self.state / box / f"disk-{number}.img"

    @property
    def user_key(self) -> Path:
        """The lab user's key file."""
        return self.state / "user.key"

    @property
    def proxy_key(self) -> Path:
        """The key file of the grid proxy's twin."""
        return self.state / "gridproxy.key"

    @property
    def kyc(self) -> Path:
        """A file that holds what KYC says, of whom (zos.lab.kyc); absent: everybody is VERIFIED."""
        return self.state / "kyc.json"

    @property
    def tls(self) -> Path:
        """The lab's certificate authority, and the certificate of its servers."""
        return self.state / "tls"

    @property
    def records(self) -> Path:
        """What the user deployed in this lab, with the private keys of the networks."""
        return self.state / "user" / "records"

    @property
    def record(self) -> Path:
        """What this lab is."""
        return self.state / "lab.json"
