"""Reads which libraries an ELF file (64 bit, little endian) asks the loader for. Pure."""

from __future__ import annotations

import struct

MAGIC = b"\x7fELF\x02\x01"
_DYNAMIC, _LOAD, _INTERPRETER = 2, 1, 3
_NEEDED, _STRINGS = 1, 5


def needed(data: bytes) -> tuple[str, ...]:
    """The names that the file needs, its loader's included; nothing for what is no ELF file or is linked statically."""
    if data[:6] != MAGIC:
        return ()
    (start,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    headers = [struct.unpack_from("<IIQQQQ", data, start + number * size) for number in range(count)]
    loads = [(address, offset, length) for kind, _, offset, address, _, length in headers if kind == _LOAD]
    names = []
    for kind, _, offset, _, _, length in headers:
        if kind == _INTERPRETER:
            names.append(data[offset : offset + length].rstrip(b"\0").decode().rpartition("/")[2])
        if kind == _DYNAMIC:
            entries = [struct.unpack_from("<QQ", data, at) for at in range(offset, offset + length, 16)]
            table = next((value for tag, value in entries if tag == _STRINGS), 0)
            strings = next((table - at + place for at, place, size in loads if at <= table < at + size), table)
            names += [_text(data, strings + value) for tag, value in entries if tag == _NEEDED]
    return tuple(names)


def _text(data: bytes, start: int) -> str:
    return data[start : data.index(b"\0", start)].decode()
