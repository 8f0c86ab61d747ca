"""Our nft table: loaded by `nft` in one transaction, recognised by the digest in its comment."""

from __future__ import annotations

import struct

from zos.networkd import nft
from zos.networkd.host import nsthread
from zos.networkd.host.netlink import NETLINK_NETFILTER, Message, Netlink, NetlinkError, as_text, attrs
from zos.runtime import proc

_GET_TABLE = (10 << 8) | 1
_TABLE_NAME, _TABLE_USERDATA = 1, 6
_COMMENT = 0


async def load(ruleset: str, namespace: str) -> None:
    """Bring the rules into force, whole or not at all."""
    inside = ["nsenter", f"--net={nsthread.FOLDER / namespace}"] if namespace else []
    await proc.run([*inside, "nft", "-f", "-"], input=ruleset.encode(), deadline=10)


async def drop(family: str, table: str, namespace: str) -> None:
    """Remove a table, should it be there."""
    # Naming it first makes the removal of one that is gone valid.
    await load(f"table {family} {table}\ndelete table {family} {table}\n", namespace)


def digest(name: str = nft.TABLE) -> str:
    """The digest of a table of ours in this thread's namespace; empty when there is none."""
    try:
        with Netlink(NETLINK_NETFILTER) as nl:
            answers = nl.dump(Message(_GET_TABLE, 0, struct.pack("=BBH", 0, 0, 0)))
    except NetlinkError:
        return ""  # no nftables in this namespace yet; loading says what is wrong, if anything is
    for answer in answers:
        table = attrs(answer.body[4:])
        if as_text(table.get(_TABLE_NAME)) == name:
            return _comment(table.get(_TABLE_USERDATA, b"")) or "unknown"
    return ""


def _comment(data: bytes) -> str:
    """Userdata is a row of type, length, value, one byte each but the value."""
    offset = 0
    while offset + 2 <= len(data):
        kind, length = data[offset], data[offset + 1]
        if kind == _COMMENT:
            return as_text(data[offset + 2 : offset + 2 + length])
        offset += 2 + length
    return ""
