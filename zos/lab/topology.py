"""What a lab consists of: its boxes, folders and disks. Pure.

A box is a set of namespaces (network, mount, PID, UTS) under a tiny init. The "Internet" is a bridge in the box of
that name; every other box has one cable (veth) to it, called eth0 inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from zos.lab.addresses import Addresses
from zos.lab.errors import BadName
from zos.model.units import Bytes, GiB

KYC_NAMES = tuple(f"kyc.{network}grid.tf" for network in ("dev.", "qa.", "test.", ""))
"""What clients ask whether a user is verified; the lab answers in their place."""
TERMS_NAME = "raw.githubusercontent.com"
"""Where clients fetch the terms and conditions that a new account accepts; the lab answers in its place too."""
DEFAULT_NAME = "lab"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
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
    """SSDs per node."""
    hard_disks: int = 1
    """HDDs per node, for 0-db."""
    disk_size: Bytes = DISK_SIZE
    block_time: float = 1.0
    """Seconds between two blocks of the lab's chain."""
    addresses: Addresses = field(default_factory=Addresses)

    def boxes(self) -> tuple[Box, ...]:
        """Every box, in the order they are started."""
        services = (
            self._box(INTERNET, Kind.INTERNET, 254),
            self._box("chain", Kind.CHAIN, 10),
            self._box("hub", Kind.HUB, 11),
            self._box("relay", Kind.RELAY, 12),
            self._box("gridproxy", Kind.GRIDPROXY, 13),
            self._box("user", Kind.USER, 100),
        )
        return services + tuple(self.node_boxes())

    def node_boxes(self) -> Iterator[Box]:
        for number in range(1, self.nodes + 1):
            # .100 is the user's
            last = 20 + number if number < 80 else 21 + number
            yield self._box(node_name(number), Kind.NODE, last)

    def _box(self, name: str, kind: Kind, last: int) -> Box:
        return Box(name, kind, self.addresses.address(last), f"02:5a:4f:53:00:{last:02x}")

    def box(self, name: str) -> Box | None:
        """The box of this name."""
        return next((box for box in self.boxes() if box.name == name), None)


def node_name(number: int) -> str:
    """The name of the lab's n-th node, counted from 1."""
    return f"node-{number}"


@dataclass(frozen=True, slots=True)
class Layout:
    """A lab's folders on this machine."""

    state: Path = Path("/var/lib/zos-lab")
    """Survives `kill -9` of everything: disks, keys, the chain's storage, what the lab is."""
    run: Path = Path("/run/zos-lab")
    """One folder per box; each is that box's /run."""
    name: str = DEFAULT_NAME

    @staticmethod
    def of(name: str) -> Layout:
        """The folders of the lab of this name; the default one's for an empty name."""
        if name in ("", DEFAULT_NAME):
            return Layout()
        if not NAME.fullmatch(name):
            raise BadName(name=name)
        return Layout(Path(f"/var/lib/zos-lab-{name}"), Path(f"/run/zos-lab-{name}"), name)

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
        """The file behind a node's disk; the SSDs are numbered before the HDDs."""
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
        """What this lab is (zos.lab.record)."""
        return self.state / "lab.json"

    @property
    def mount_points(self) -> Path:
        """Folders of the machine that this lab's boxes mount theirs over and that a lab has made."""
        return self.state / "mount-points.json"
