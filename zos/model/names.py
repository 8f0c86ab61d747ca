"""Names and addresses that are derived, as every node and client of the grid derives them.

Source: zosbase `pkg/gridtypes/id.go`, `pkg/zinit`, `pkg/network`; vectors in the tests.
"""

from __future__ import annotations

import hashlib
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_interface
from typing import NewType

import base58

TwinId = NewType("TwinId", int)
ContractId = NewType("ContractId", int)
WorkloadId = NewType("WorkloadId", str)
"""`<twin>-<contract>-<name>`"""

ROOT = "rootfs-"
"""Before the id of a machine: the id of the volume under its root."""
_ORIGIN = re.compile(rf"(?:{ROOT})?([0-9]{{1,20}})-([0-9]{{1,20}})-(.+)", re.ASCII | re.DOTALL)

ID_LENGTH = 13
"""So that with a two-character prefix an interface name stays within the kernel's 15."""


def workload_id(twin: int, contract: int, name: str) -> WorkloadId:
    """The id of a workload on its node."""
    return WorkloadId(f"{twin}-{contract}-{name}")


def split_workload_id(text: str) -> tuple[TwinId, ContractId, str]:
    """Twin, contract and name of a workload id."""
    twin, contract, name = text.split("-", 2)
    return TwinId(int(twin)), ContractId(int(contract)), name


def root_id(machine: WorkloadId) -> str:
    """The id of the volume under a machine's root."""
    return f"{ROOT}{machine}"


def origin(id: str) -> tuple[TwinId, ContractId, str] | None:
    """Twin, contract and name of the workload for which a disk, volume, mount or namespace is; None: of none.

    The one answer to whose an id is: what is kept, counted or refused by owner asks here.
    """
    found = _ORIGIN.fullmatch(id)
    return (TwinId(int(found[1])), ContractId(int(found[2])), found[3]) if found else None


def owner_of(id: str) -> str:
    """The twin whose a disk, volume, mount or namespace is; what is of no workload has an owner of its own."""
    found = origin(id)
    return str(found[0]) if found else f"?{id}"


def _short(text: str) -> str:
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    return base58.b58encode(digest).decode()[:ID_LENGTH]


def net_id(twin: int, network: str) -> str:
    """The id of a twin's network: 13 characters, without the contract, so any deployment finds it by name."""
    return _short(f"{twin}:{network}")


def unique(workload: str, label: str) -> str:
    """The id of something that belongs to a workload (label: network name, `pub`, `ygg`, `mycelium`)."""
    return _short(f"{workload}:{label}")


def mac(text: str | bytes) -> str:
    """The hardware address that is derived from a text.

    A 6-byte window slides over the MD5, which is changed in place at each offset, until the address is in range.
    """
    seed = text.encode() if isinstance(text, str) else text
    digest = bytearray(hashlib.md5(seed, usedforsecurity=False).digest())
    while True:
        for offset in range(len(digest) - 5):
            digest[offset] = (digest[offset] | 0x02) & 0xFE
            window = bytes(digest[offset : offset + 6])
            if _in_range(window):
                return ":".join(f"{byte:02x}" for byte in window)
        digest = bytearray(hashlib.md5(bytes(digest), usedforsecurity=False).digest())


def _in_range(window: bytes) -> bool:
    # The reference's test, odd as it is: it compares the last three bytes first.
    first, last = window[:2], window[3:]
    if last <= b"\x00\x51\xff":
        return first >= b"\x00\x03"
    if last <= b"\x90\x00\xff":
        return first >= b"\x00\x54" and first != b"\x33\x33"
    return window <= b"\xff\xff\xff\xff\xff\xfe" and first >= b"\x90\x02"


def ula(network: str, address: str) -> IPv6Address:
    """The IPv6 address in a network (by net id) that belongs to an IPv4 address; its prefix is /64."""
    c = network.encode()[:5]
    octets = IPv4Address(address).packed
    # Octets are printed as hex without padding, which is what an address text does anyway.
    return IPv6Address(f"fd{c[0]:02x}:{c[1]:02x}{c[2]:02x}:{c[3]:02x}{c[4]:02x}:{octets[2]:x}::{octets[3]:x}")


def wg_address(subnet: str | IPv4Network) -> IPv4Address:
    """The WireGuard address (in 100.64.0.0/16) of the node that has this subnet."""
    octets = ip_interface(str(subnet)).ip.packed
    return IPv4Address(bytes((100, 64, octets[1], octets[2])))


def planetary_address(public_key: bytes) -> IPv6Address:
    """The address in the planetary network (200::/7) of the holder of an ed25519 key (32 bytes)."""
    return IPv6Address(bytes((0x02,)) + _yggdrasil(public_key, 14))


def planetary_subnet(public_key: bytes) -> IPv6Network:
    """The /64 that is routed to the holder of an ed25519 key; its `::1` is the holder itself."""
    return IPv6Network((bytes((0x03,)) + _yggdrasil(public_key, 6) + bytes(8), 64))


def _yggdrasil(public_key: bytes, size: int) -> bytes:
    """One byte that counts the key's leading zeros, then the inverted bits behind its first one; `size` of those.

    Source: yggdrasil-go `src/address` (0.4 and later).
    """
    bits = len(public_key) * 8
    key = int.from_bytes(public_key)
    zeros = bits - key.bit_length()
    inverted = (~key << (zeros + 1)) & ((1 << bits) - 1)
    return bytes((zeros,)) + inverted.to_bytes(len(public_key))[:size]


def planetary_guest(subnet: IPv6Network, hardware: str | bytes) -> IPv6Address:
    """A machine's address in its node's /64: by the SHA-512 of its hardware address."""
    raw = bytes.fromhex(hardware.replace(":", "")) if isinstance(hardware, str) else hardware
    return IPv6Address(subnet.network_address.packed[:8] + hashlib.sha512(raw).digest()[:8])
