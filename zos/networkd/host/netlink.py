"""A small rtnetlink client: packs the few messages that networkd sends, and parses the few that it reads.

decisions/0002 has the measurement against a general library. Constants are from linux/rtnetlink.h, if_link.h, if_addr.h
and nf_tables.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
_SOL_NETLINK, _CAP_ACK, _EXT_ACK, _STRICT = 270, 10, 11, 12

NEWLINK, DELLINK, GETLINK, SETLINK = 16, 17, 18, 19
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
_NOOP, _ERROR, _DONE = 1, 2, 3

REQUEST, MULTI, ACK, DUMP = 0x1, 0x2, 0x4, 0x300
_DUMP_INTERRUPTED = 0x10
REPLACE, EXCL, CREATE, APPEND = 0x100, 0x200, 0x400, 0x800

_HEADER = struct.Struct("=IHHII")
_ATTR = struct.Struct("=HH")
_NESTED = 0x8000
_TYPE_MASK = 0x3FFF
_DEADLINE = 10.0
_RECEIVE = 1 << 18


class NetlinkError(OSError):
    """The kernel refused a message; `strerror` is its own explanation when it gives one."""


@dataclass(frozen=True, slots=True)
class Message:
    """A request to the kernel without its header, which `Netlink` writes."""

    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """One message of the kernel."""

    kind: int
    body: bytes


def attr(kind: int, value: bytes) -> bytes:
    """One attribute; the kernel wants each padded to 4 bytes."""
    return _ATTR.pack(4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def text(kind: int, value: str) -> bytes:
    """A text attribute; the kernel wants it terminated by a zero byte."""
    return attr(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    """A 32-bit attribute in the machine's byte order."""
    return attr(kind, struct.pack("=I", value))


def nest(kind: int, *parts: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attr(kind | _NESTED, b"".join(parts))


def attrs(data: bytes) -> dict[int, bytes]:
    """The attributes in a piece of a message; of equal ones the last."""
    return dict(attr_list(data))


def attr_list(data: bytes) -> list[tuple[int, bytes]]:
    """The attributes in a piece of a message, in order."""
    found: list[tuple[int, bytes]] = []
    offset = 0
    while offset + 4 <= len(data):
        length, kind = _ATTR.unpack_from(data, offset)
        if length < 4:
            break
        # The two upper bits of a kind are flags: nested, and network byte order.
        found.append((kind & _TYPE_MASK, data[offset + 4 : offset + length]))
        offset += (length + 3) & ~3
    return found


def as_text(value: bytes | None) -> str:
    """A text attribute's value."""
    return value.rstrip(b"\0").decode(errors="replace") if value else ""


def as_number(value: bytes | None) -> int:
    """A 32-bit attribute's value."""
    return int(struct.unpack("=I", value[:4])[0]) if value else 0


class Netlink:
    """A blocking socket in the network namespace of the thread that created it; one request at a time."""

    def __init__(self, protocol: int = NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.settimeout(_DEADLINE)
        self._socket.bind((0, 0))
        # Acknowledgements without the request, with the kernel's own words; dumps whose filters are obeyed or refused.
        for option in (_CAP_ACK, _EXT_ACK, _STRICT):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._sequence = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def do(self, message: Message) -> None:
        """Send one change and wait for its acknowledgement."""
        for _ in self._talk(message, ACK):
            pass

    def get(self, message: Message) -> Answer:
        """Requests one object. Raises OSError as the kernel answers."""
        answers = list(self._talk(message, ACK))
        return answers[0]

    def dump(self, message: Message) -> list[Answer]:
        """Request all objects of a kind; again when they changed during the dump."""
        while True:
            try:
                return list(self._talk(message, DUMP))
            except InterruptedError:
                continue

    def _talk(self, message: Message, flags: int) -> Iterator[Answer]:
        self._sequence += 1
        length = _HEADER.size + len(message.body)
        header = _HEADER.pack(length, message.kind, message.flags | flags | REQUEST, self._sequence, 0)
        self._socket.send(header + message.body)
        interrupted = False
        while True:
            for kind, flag, sequence, body in _split(self._socket.recv(_RECEIVE)):
                if sequence != self._sequence or kind == _NOOP:
                    continue
                interrupted |= bool(flag & _DUMP_INTERRUPTED)
                if kind in (_ERROR, _DONE):
                    _raise_refusal(body, kind)
                    if interrupted:
                        raise InterruptedError
                    return
                yield Answer(kind, body)


def _split(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            return
        yield kind, flags, sequence, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def _raise_refusal(body: bytes, kind: int) -> None:
    if len(body) < 4:
        return
    code = -int(struct.unpack_from("=i", body)[0])
    if code == 0:
        return
    # With CAP_ACK the refused message's header follows the code, then the kernel's own words (NLMSGERR_ATTR_MSG).
    words = as_text(attrs(body[4 + _HEADER.size :]).get(1)) if kind == _ERROR else ""
    raise NetlinkError(code, words or os.strerror(code))
