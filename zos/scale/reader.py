"""Bytes with a position, and the integers of variable length that all of SCALE stands on. Pure."""

from __future__ import annotations


class Undecodable(ValueError):
    """Bytes that are not what the type says, or a value that the type cannot hold."""


class Reader:
    """Bytes with a position."""

    __slots__ = ("data", "depth", "position")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.depth = 0
        """How many calls deep inside calls we are."""

    def take(self, count: int) -> bytes:
        """The next so many bytes."""
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise Undecodable(f"{count} bytes wanted at {self.position}, {len(self.data) - self.position} left")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    @property
    def left(self) -> int:
        """Bytes not yet taken."""
        return len(self.data) - self.position


def compact(value: int) -> bytes:
    """A compact integer as bytes."""
    if value < 0:
        raise Undecodable(f"{value} is negative")
    if value < 1 << 6:
        return bytes([value << 2])
    if value < 1 << 14:
        return (value << 2 | 1).to_bytes(2, "little")
    if value < 1 << 30:
        return (value << 2 | 2).to_bytes(4, "little")
    raw = value.to_bytes((value.bit_length() + 7) // 8, "little")
    if len(raw) > 67:
        raise Undecodable("too large for a compact integer")
    return bytes([(len(raw) - 4) << 2 | 3]) + raw


def read_compact(reader: Reader) -> int:
    """The next compact integer; a longer form than needed is refused, as in the reference codec."""
    if reader.position >= len(reader.data):
        reader.take(1)
    first = reader.data[reader.position]
    reader.position += 1
    mode = first & 3
    if mode == 0:
        return first >> 2
    if mode == 3:
        count = (first >> 2) + 4
        value = int.from_bytes(reader.take(count), "little")
        if (count > 4 and value >> (8 * (count - 1)) == 0) or value < 1 << 30:
            raise Undecodable("compact integer in a longer form than needed")
        return value
    count, low = (1, 1 << 6) if mode == 1 else (3, 1 << 14)
    value = int.from_bytes(bytes([first]) + reader.take(count), "little") >> 2
    if value < low:
        raise Undecodable("compact integer in a longer form than needed")
    return value
