"""Our nft tables: loaded by `nft` in one transaction, recognised by the digest in their comments."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from zos.networkd import nft
from zos.networkd.host import nsthread
from zos.networkd.host.netlink import (
    NETLINK_NETFILTER,
    Answer,
    Message,
    Netlink,
    NetlinkError,
    as_text,
    attr_list,
    attrs,
    text,
)
from zos.runtime import proc

INET, BRIDGE = 1, 7
"""Families, as the kernel counts them."""
# 10 is nftables among the subsystems of netfilter's netlink.
_GET_TABLE, _GET_CHAIN, _GET_SET_ELEMENTS = (10 << 8 | kind for kind in (1, 4, 13))
_TABLE_NAME, _TABLE_USERDATA = 1, 6
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_USERDATA = 1, 3, 12
_SET_TABLE, _SET_NAME, _SET_ELEMENTS = 1, 2, 3
_ELEMENT_KEY, _DATA_VALUE = 1, 1
_COMMENT = 0


async def load(ruleset: str, namespace: str) -> None:
    """Bring the rules into force, whole or not at all."""
    inside = ["nsenter", f"--net={nsthread.FOLDER / namespace}"] if namespace else []
    await proc.run([*inside, "nft", "-f", "-"], input=ruleset.encode(), deadline=10)


async def drop(family: str, table: str, namespace: str) -> None:
    """Remove a table, should it be there."""
    # Naming it first makes the removal of one that is gone valid.
    await load(f"table {family} {table}\ndelete table {family} {table}\n", namespace)


async def change(transaction: str) -> None:
    """Apply changes to tables of the root namespace in one transaction."""
    await proc.run(["nft", "-f", "-"], input=transaction.encode(), deadline=10)


def digest(name: str = nft.TABLE, family: int = INET) -> str:
    """The digest of a table of ours in this thread's namespace; empty when there is none."""
    found = _one(Message(_GET_TABLE, 0, _head(family) + text(_TABLE_NAME, name)))
    return "" if found is None else _comment(found.get(_TABLE_USERDATA, b"")) or "unknown"


def guards(devices: Iterable[str]) -> dict[str, str]:
    """The digests of those taps' guards that are in force."""
    found = {}
    for device in devices:
        named = text(_CHAIN_TABLE, nft.TABLE) + text(_CHAIN_NAME, device)
        chain = _one(Message(_GET_CHAIN, 0, _head(BRIDGE) + named))
        if chain is not None:
            found[device] = _comment(chain.get(_CHAIN_USERDATA, b"")) or "unknown"
    return found


def chains() -> frozenset[str]:
    """The names of all chains in our table of the bridge family."""
    found = [attrs(answer.body[4:]) for answer in _all(Message(_GET_CHAIN, 0, _head(BRIDGE)))]
    return frozenset(as_text(one.get(_CHAIN_NAME)) for one in found if as_text(one.get(_CHAIN_TABLE)) == nft.TABLE)


def ports(name: str) -> frozenset[int]:
    """The elements of a set of ports."""
    named = text(_SET_TABLE, nft.TABLE) + text(_SET_NAME, name)
    elements = [
        attrs(element)
        for answer in _all(Message(_GET_SET_ELEMENTS, 0, _head(INET) + named))
        for _, element in attr_list(attrs(answer.body[4:]).get(_SET_ELEMENTS, b""))
    ]
    values = (attrs(element.get(_ELEMENT_KEY, b"")).get(_DATA_VALUE, b"") for element in elements)
    # A key is in network byte order, padded to whole registers of 4 bytes.
    return frozenset(int.from_bytes(value[:2], "big") for value in values)


def _head(family: int) -> bytes:
    return struct.pack("=BBH", family, 0, 0)


def _one(message: Message) -> dict[int, bytes] | None:
    try:
        with Netlink(NETLINK_NETFILTER) as nl:
            return attrs(nl.get(message).body[4:])
    except NetlinkError:
        return None  # nor any nftables in this namespace yet; loading says what is wrong, if anything is


def _all(message: Message) -> list[Answer]:
    try:
        with Netlink(NETLINK_NETFILTER) as nl:
            return nl.dump(message)
    except NetlinkError:
        return []


def _comment(data: bytes) -> str:
    """Userdata is a row of type, length, value, one byte each but the value."""
    offset = 0
    while offset + 2 <= len(data):
        kind, length = data[offset], data[offset + 1]
        if kind == _COMMENT:
            return as_text(data[offset + 2 : offset + 2 + length])
        offset += 2 + length
    return ""
