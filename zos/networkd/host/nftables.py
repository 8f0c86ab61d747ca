"""Our nft tables: changed by libnftables in one transaction, recognised by the digest in their comments."""

from __future__ import annotations

import contextlib
import struct
import threading
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from types import TracebackType

from zos.networkd import nft
from zos.networkd.host import libnftables, nsthread
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
from zos.networkd.steps import ROOT

INET, BRIDGE = 1, 7
"""Families, as the kernel counts them."""
# 10 is nftables among the subsystems of netfilter's netlink.
_GET_TABLE, _GET_CHAIN, _GET_SET_ELEMENTS = (10 << 8 | kind for kind in (1, 4, 13))
_TABLE_NAME, _TABLE_USERDATA = 1, 6
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_USERDATA = 1, 3, 12
_SET_TABLE, _SET_NAME, _SET_ELEMENTS = 1, 2, 3
_ELEMENT_KEY, _DATA_VALUE = 1, 1
_COMMENT = 0


class Reader:
    """Asks for tables of ours in the namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._nl = Netlink(NETLINK_NETFILTER)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._nl.close()

    def digest(self, name: str = nft.TABLE, family: int = INET) -> str:
        """The digest of a table of ours; empty when there is none."""
        found = self._one(Message(_GET_TABLE, 0, _head(family) + text(_TABLE_NAME, name)))
        return "" if found is None else _comment(found.get(_TABLE_USERDATA, b"")) or "unknown"

    def guards(self, devices: Iterable[str]) -> dict[str, str]:
        """The digests of those taps' guards that are in force."""
        found = {}
        for device in devices:
            named = text(_CHAIN_TABLE, nft.TABLE) + text(_CHAIN_NAME, device)
            chain = self._one(Message(_GET_CHAIN, 0, _head(BRIDGE) + named))
            if chain is not None:
                found[device] = _comment(chain.get(_CHAIN_USERDATA, b"")) or "unknown"
        return found

    def chains(self) -> frozenset[str]:
        """The names of all chains in our table of the bridge family."""
        found = [attrs(answer.body[4:]) for answer in self._all(Message(_GET_CHAIN, 0, _head(BRIDGE))) or ()]
        return frozenset(as_text(one.get(_CHAIN_NAME)) for one in found if as_text(one.get(_CHAIN_TABLE)) == nft.TABLE)

    def ports(self, name: str) -> frozenset[int]:
        """The elements of a set of ports."""
        return frozenset(int.from_bytes(key[:2], "big") for key in self._elements(nft.TABLE, name) or ())

    def known(self, names: Iterable[str], table: str = nft.TABLE) -> dict[str, frozenset[str]]:
        """The elements of those of the named sets of addresses that are there."""
        found = {name: self._elements(table, name) for name in names}
        return {
            name: frozenset(str(ip_address(key)) for key in keys if len(key) in (4, 16))
            for name, keys in found.items()
            if keys is not None
        }

    def _elements(self, table: str, name: str) -> list[bytes] | None:
        """The keys in a set, in network byte order and padded to whole registers of 4 bytes; None without the set."""
        named = text(_SET_TABLE, table) + text(_SET_NAME, name)
        answers = self._all(Message(_GET_SET_ELEMENTS, 0, _head(INET) + named))
        if answers is None:
            return None
        rows = [attr_list(attrs(answer.body[4:]).get(_SET_ELEMENTS, b"")) for answer in answers]
        keys = [attrs(element).get(_ELEMENT_KEY, b"") for row in rows for _, element in row]
        return [attrs(key).get(_DATA_VALUE, b"") for key in keys]

    # The kernel refuses what is not there, and all in a namespace that has no nftables yet; loading says what is wrong.

    def _one(self, message: Message) -> dict[int, bytes] | None:
        try:
            return attrs(self._nl.get(message).body[4:])
        except NetlinkError:
            return None

    def _all(self, message: Message) -> list[Answer] | None:
        try:
            return self._nl.dump(message)
        except NetlinkError:
            return None


class Tables:
    """Changes tables, in any namespace, and reads those of the root namespace.

    The kernel lets a connection close only when everything that was deleted in its namespace is freed, which takes some
    15 ms. So the root namespace's stay open, and nobody waits for the end of another's.
    """

    def __init__(self) -> None:
        self._reader: Reader | None = None
        self._reading = threading.Lock()
        self._connection: libnftables.Connection | None = None

    async def apply(self, transaction: str, namespace: str = ROOT) -> None:
        """Apply changes in one transaction, whole or not at all."""
        given_up = threading.Event()
        to_close: list[libnftables.Connection] = []

        def work() -> None:
            with libnftables.turn():
                # Who waited in vain may have asked for something else meanwhile.
                if given_up.is_set():
                    return
                if not namespace:
                    self._kept().apply(transaction)
                    return
                to_close.append(libnftables.Connection())
                to_close[0].apply(transaction)

        def close() -> None:
            for connection in to_close:
                with libnftables.turn(patient=True):
                    connection.close()

        try:
            await nsthread.run(work, namespace, libnftables.DEADLINE, close)
        finally:
            given_up.set()

    def _kept(self) -> libnftables.Connection:
        if self._connection is None:
            self._connection = libnftables.Connection()
        return self._connection

    @contextlib.contextmanager
    def reader(self) -> Iterator[Reader]:
        """What reads the root namespace's tables; for a thread of that namespace."""
        with self._reading:
            if self._reader is None:
                self._reader = Reader()
            try:
                yield self._reader
            except BaseException:
                # Half an answer may be left in it.
                self._reader.close()
                self._reader = None
                raise


def _head(family: int) -> bytes:
    return struct.pack("=BBH", family, 0, 0)


def _comment(data: bytes) -> str:
    """Userdata is a row of type, length, value, one byte each but the value."""
    offset = 0
    while offset + 2 <= len(data):
        kind, length = data[offset], data[offset + 1]
        if kind == _COMMENT:
            return as_text(data[offset + 2 : offset + 2 + length])
        offset += 2 + length
    return ""
