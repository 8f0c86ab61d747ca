"""Redis' protocol as 0-db speaks it: requests are arrays of bulk strings, and nothing else. Pure.

Every length is bounded before anything is kept. A request that breaks the rules ends the connection: what follows it
cannot be told from its rest.
"""

from __future__ import annotations

import re

from zos.zdb.format import MAX_VALUE

MAX_ARGUMENTS = 1024
MAX_REQUEST = MAX_VALUE + (1 << 20)
"""Bytes of all arguments of one request."""
_MAX_LINE = 32
_HEAD, _BULK = re.compile(rb"\*([0-9]{1,4})\r\n"), re.compile(rb"\$([0-9]{1,7})\r\n")


class Malformed(Exception):
    """A request that ends the connection; the text is the answer."""


class Parser:
    """Takes bytes as they come, gives requests."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0
        self._arguments: list[bytes] = []
        self._expected = 0
        self._need = -1
        """Bytes of the bulk string that is being read; -1 between two."""
        self._size = 0
        """Of all arguments, as they were announced so far."""
        self._taken = 0
        """Of those that are there."""

    def feed(self, data: bytes) -> None:
        """More bytes of the connection."""
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        self._buffer += data

    @property
    def size(self) -> int:
        """Bytes of requests that were not taken yet, whole or not."""
        return len(self._buffer) - self._at + self._taken

    def next(self) -> list[bytes] | None:
        """The next whole request, or None when more bytes are needed."""
        buffer = self._buffer
        if not self._expected:
            if self._at == len(buffer):
                return None
            if (whole := self._whole()) is not None:
                return whole
        if not self._expected:
            line = self._line()
            if line is None:
                return None
            self._expected = _count(line)
            self._arguments, self._size = [], 0
        arguments = self._arguments
        while len(arguments) < self._expected:
            if self._need < 0:
                line = self._line()
                if line is None:
                    return None
                self._need = self._length(line)
            end = self._at + self._need
            # Whatever the two bytes behind a string are, they are passed over, as there.
            if len(buffer) < end + 2:
                return None
            arguments.append(bytes(buffer[self._at : end]))
            self._taken += self._need
            self._at, self._need = end + 2, -1
        self._expected = self._size = self._taken = 0
        return arguments

    def _whole(self) -> list[bytes] | None:
        """A request that is plain and there to its end, as nearly all are; None when it is looked at more closely."""
        buffer, at = self._buffer, self._at
        head = _HEAD.match(buffer, at, at + _MAX_LINE)
        if head is None or not 0 < (count := int(head[1])) <= MAX_ARGUMENTS:
            return None
        at, left = head.end(), MAX_REQUEST
        words: list[bytes] = []
        for _ in range(count):
            head = _BULK.match(buffer, at, at + _MAX_LINE)
            if head is None:
                return None
            start = head.end()
            length = int(head[1])
            at, left = start + length + 2, left - length
            if length > MAX_VALUE or left < 0 or at > len(buffer):
                return None
            words.append(bytes(buffer[start : at - 2]))
        self._at = at
        return words

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._at, self._at + _MAX_LINE)
        if end < 0:
            if len(self._buffer) - self._at >= _MAX_LINE:
                raise Malformed("Malformed query string" if self._expected else "Malformed request, array expected")
            if not self._expected and len(self._buffer) > self._at and self._buffer[self._at] != 0x2A:
                raise Malformed("Malformed request, array expected")
            return None
        line = bytes(self._buffer[self._at : end])
        self._at = end + 1
        return line

    def _length(self, line: bytes) -> int:
        if line[:1] != b"$":
            raise Malformed("Malformed query string")
        length = number(line[1:].rstrip(b"\r"))
        if length < 0:
            raise Malformed("Malformed query string")
        self._size += length
        if length > MAX_VALUE or self._size > MAX_REQUEST:
            raise Malformed("Payload too big")
        return length


def _count(line: bytes) -> int:
    if line[:1] != b"*":
        raise Malformed("Malformed request, array expected")
    count = number(line[1:].rstrip(b"\r"))
    if count < 1:
        raise Malformed("Missing arguments")
    if count > MAX_ARGUMENTS:
        raise Malformed("Too many arguments")
    return count


def number(text: bytes) -> int:
    """A number as C's atoll reads it: white space, a sign, digits, and whatever follows; 0 when there are none."""
    if text.isdigit() and len(text) < 19:
        return int(text)
    text = text.lstrip(b" \t\n\v\f\r")
    sign = -1 if text[:1] == b"-" else 1
    digits = text[1:] if text[:1] in (b"-", b"+") else text
    end = 0
    while end < len(digits) and 0x30 <= digits[end] <= 0x39:
        end += 1
    if not end:
        return 0
    value = sign * int(digits[: min(end, 30)])
    return max(-(1 << 63), min(value, (1 << 63) - 1))


NIL = b"$-1\r\n"
OK = b"+OK\r\n"


def bulk(value: bytes | None) -> bytes:
    """A bulk string, or nil."""
    return NIL if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


def integer(value: int) -> bytes:
    return b":%d\r\n" % value


def simple(text: str) -> bytes:
    return b"+%b\r\n" % text.encode()


def error(text: str) -> bytes:
    """An error; 0-db's have no code word."""
    return b"-%b\r\n" % text.encode()


def array(parts: list[bytes]) -> bytes:
    """An array of encoded values."""
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))
