"""Types of mycelium's API: identities, and the node's place in the overlay."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NewType

IdentityId = NewType("IdentityId", str)
"""From the caller: the id of the network that the identity is for."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A key that this node answers for, and the device of its packets."""

    id: IdentityId
    key: bytes = field(repr=False)
    """32 bytes; everything else follows from it."""
    namespace: str
    """A named network namespace; empty: the root namespace."""
    device: str
    """A TUN in it, made and addressed by its owner."""
    former: tuple[str, ...] = ()
    """Subnets of earlier keys of this identity that are answered for as well, as far as the node knows their keys."""


@dataclass(frozen=True, slots=True)
class IdentityInfo:
    """An identity as it stands."""

    id: IdentityId
    address: str
    subnet: str
    """Its /64."""
    gateway: str
    """`::1` of it."""
    attached: bool
    """Packets come and go through its device."""
    detail: str = ""
    """Why they do not."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """The node in the overlay."""

    offered: bool
    """Networks and machines can be in it."""
    detail: str = ""
    """Why it is not offered."""
    address: str = ""
    """The node's own."""
    subnet: str = ""
    port: int = 0
    """Where other routers may connect (TCP)."""
    peers: tuple[str, ...] = ()
    """Those that are connected."""
    routes: int = 0
    """Subnets of others that are known."""
    left_out: tuple[str, ...] = ()
    """Configured peers that this router cannot connect to, each with the reason."""
