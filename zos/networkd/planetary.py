"""The node in the planetary network (Yggdrasil): its key, and the process that it takes. Pure.

Everything follows from the key: address, subnet and, with their hardware addresses, the machines' addresses (see
`places/planetary.py`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network
from urllib.parse import urlsplit

from nacl.signing import SigningKey

from zos.model import names, ports
from zos.networkd.model import PLANETARY_LINK, UPLINK_BRIDGE
from zos.networkd.steps import DialPeer, StartYggdrasil, Step, StopYggdrasil

RANGE = "200::/7"
ADMIN = "admin.sock"
"""The control socket, in the folder that yggdrasil runs in."""
_TCP, _TLS, LOCAL_PORT = ports.YGGDRASIL
LISTEN = (f"tcp://[::]:{_TCP}", f"tls://[::]:{_TLS}")
"""`LOCAL_PORT` is where neighbours that were found by multicast connect to. The ports are those of the grid's nodes."""
MTU = 65535
_PORT = re.compile(r":([0-9]{1,5})(?:[/?]|$)")


@dataclass(frozen=True, slots=True)
class PlanetaryIdentity:
    """Who the node is in the planetary network."""

    seed: bytes = field(repr=False)
    """Of its ed25519 key."""

    @property
    def public(self) -> bytes:
        """The ed25519 public key, 32 bytes."""
        return SigningKey(self.seed).verify_key.encode()

    @property
    def address(self) -> IPv6Address:
        """The node's own address."""
        return names.planetary_address(self.public)

    @property
    def subnet(self) -> IPv6Network:
        """The /64 of its machines."""
        return names.planetary_subnet(self.public)

    @property
    def gateway(self) -> IPv6Address:
        """The node's address on the bridge of its machines."""
        return self.subnet.network_address + 1

    def guest(self, mac: str) -> IPv6Address:
        """The planetary address of the machine whose NIC has this MAC."""
        return names.planetary_guest(self.subnet, mac)


@dataclass(frozen=True, slots=True)
class DesiredYggdrasil:
    """The process as it should run."""

    identity: PlanetaryIdentity
    peers: tuple[str, ...] = ()
    listen: tuple[str, ...] = LISTEN

    def config(self) -> str:
        """The text of its configuration file."""
        private = self.identity.seed + self.identity.public
        return json.dumps(
            {
                # Both halves: given the private one alone, it generates another public one.
                "PrivateKey": private.hex(),
                "PublicKey": self.identity.public.hex(),
                "Peers": list(self.peers),
                "Listen": list(self.listen),
                # Its working folder, which it cannot reach from the root; yggdrasil 0.5 takes no relative path.
                "AdminListen": f"unix:///proc/self/cwd/{ADMIN}",
                "MulticastInterfaces": [
                    {"Regex": f"^{UPLINK_BRIDGE}$", "Beacon": True, "Listen": True, "Port": LOCAL_PORT}
                ],
                "IfName": PLANETARY_LINK,
                "IfMTU": MTU,
                "NodeInfoPrivacy": True,
            },
            indent=1,
        )


@dataclass(frozen=True, slots=True)
class ObservedYggdrasil:
    """The process as it runs; the default is that none does."""

    served: bool = False
    """A process runs, whether it answers or not."""
    config: str = ""
    """The digest of the configuration that it was started with; empty when it does not answer."""
    peers: frozenset[str] = frozenset()
    """The connected peers."""


def digest(config: str) -> str:
    """Identifies a configuration without showing its key."""
    return hashlib.sha256(config.encode()).hexdigest()


def plan(desired: DesiredYggdrasil | None, observed: ObservedYggdrasil) -> tuple[Step, ...]:
    """The steps to the process as desired; with None it ends."""
    if desired is None:
        return (StopYggdrasil(),) if observed.served else ()
    config = desired.config()
    if observed.config != digest(config):
        return (StartYggdrasil(config),)
    return tuple(DialPeer(peer) for peer in desired.peers if stripped(peer) not in observed.peers)


def listening(uris: Iterable[str]) -> tuple[str, ...]:
    """The ports where others connect to, as `tcp/9943`; a URI that names none is left out."""
    found = (match.group(1) for uri in uris if (match := _PORT.search(uri)))
    return tuple(sorted({f"tcp/{port}" for port in found if 0 < int(port) < 65536}))


def stripped(uri: str) -> str:
    """A peer's URI as yggdrasil lists it: without options."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"
