"""Router ids: the origin of a subnet, and its incarnation. Pure.

Forty bytes: a public key, a zone of two bytes (zero), six at random. Source: threefoldtech/mycelium, router_id.rs.
"""

from __future__ import annotations

import secrets

from zos.model import mycelium

SIZE = 40


def make(public: bytes, random: bytes | None = None) -> bytes:
    """A router id for one run of a router; its sequence numbers start at zero."""
    return public + bytes(2) + (secrets.token_bytes(6) if random is None else random)


def key(router: bytes) -> bytes:
    """The public key in a router id."""
    return router[: mycelium.KEY]


def owns(router: bytes, prefix: bytes) -> bool:
    """Whether the key inside a router id is the one that this /64 is derived from."""
    return mycelium.address(key(router))[: mycelium.PREFIX] == prefix
