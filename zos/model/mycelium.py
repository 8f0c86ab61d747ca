"""Mycelium's keys and the addresses that follow from them. Pure.

A secret is 32 bytes, used as X25519 clamps it. The address is the first 16 bytes of BLAKE3 over the public key, its
first byte made 4 or 5 (5 when that byte has an odd number of ones); the upper half of it is the identity's /64.
Source: threefoldtech/mycelium, crypto.rs.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

GLOBAL = IPv6Network("400::/7")
"""Every mycelium address."""
PREFIX = 8
"""Bytes of an address that name an identity's /64."""
KEY = 32
"""Bytes of a secret, and of a public key."""


def public_key(secret: bytes) -> bytes:
    """The public key of a secret; both 32 bytes. ValueError for another length."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def address(public: bytes) -> bytes:
    """The address of a public key, as 16 bytes."""
    digest = blake3(public).digest(length=16)
    return bytes((4 | digest[0].bit_count() & 1,)) + digest[1:]


def subnet(public: bytes) -> IPv6Network:
    """The /64 of a public key."""
    return network(address(public)[:PREFIX])


def network(prefix: bytes) -> IPv6Network:
    """A /64 from its first eight bytes."""
    return IPv6Network((prefix + bytes(16 - PREFIX), 64))


def gateway(net: IPv6Network) -> IPv6Address:
    """`::1` of a /64: what its machines are told as the way into the overlay."""
    return net.network_address + 1


def machine(net: IPv6Network, seed: bytes) -> IPv6Address:
    """A machine's address: the /64, `ff0f`, and the six bytes of its seed."""
    return IPv6Address(net.network_address.packed[:PREFIX] + b"\xff\x0f" + seed)
