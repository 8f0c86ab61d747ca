"""Writes a small FAT12 disk with a few files in its root, without mounting anything. Pure.

512-byte sectors, one sector per cluster, two tables, long names: what Linux, cloud-init and firmware read. The layout
is the one of Microsoft's FAT specification; FAT12 because a 2 MiB disk has fewer than 4085 clusters.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

SECTOR = 512
SECTORS = 4096
TABLE_SECTORS = 12
ROOT_ENTRIES = 64
ROOT_SECTORS = ROOT_ENTRIES * 32 // SECTOR
DATA_START = 1 + 2 * TABLE_SECTORS + ROOT_SECTORS
CLUSTERS = SECTORS - DATA_START
END_OF_CHAIN = 0xFFF
SIZE = SECTORS * SECTOR


def image(label: str, files: Mapping[str, bytes]) -> bytes:
    """The disk; raises ValueError when the files do not fit."""
    table = [0xFF8, END_OF_CHAIN]
    data = bytearray()
    entries = bytearray(_entry(label.encode().ljust(11), 0x08, 0, 0))
    for number, (name, content) in enumerate(files.items(), 1):
        count = -(-len(content) // SECTOR)
        first = len(table) if count else 0
        table += [len(table) + step + 1 for step in range(count - 1)] + [END_OF_CHAIN] * bool(count)
        data += content + bytes(-len(content) % SECTOR)
        entries += _named(name, number, first, len(content))
    if len(table) - 2 > CLUSTERS:
        raise ValueError(f"the files need {len(data)} bytes; the disk holds {CLUSTERS * SECTOR}")
    if len(entries) > ROOT_ENTRIES * 32:
        raise ValueError("the files' names do not fit in the disk's root")
    packed = _packed(table).ljust(TABLE_SECTORS * SECTOR, b"\0")
    root = bytes(entries).ljust(ROOT_SECTORS * SECTOR, b"\0")
    return (_boot_sector(label) + packed + packed + root + data).ljust(SIZE, b"\0")


def _boot_sector(label: str) -> bytes:
    parameters = struct.pack(
        "<3s8sHBHBHHBHHHIIBBBI11s8s",
        b"\xeb\x3c\x90",
        b"zos     ",
        SECTOR,
        1,
        1,
        2,
        ROOT_ENTRIES,
        SECTORS,
        0xF8,
        TABLE_SECTORS,
        32,
        2,
        0,
        0,
        0x80,
        0,
        0x29,
        0x5A4F5331,
        label.encode().ljust(11),
        b"FAT12   ",
    )
    return parameters.ljust(SECTOR - 2, b"\0") + b"\x55\xaa"


def _packed(table: list[int]) -> bytes:
    """Twelve bits each, two in three bytes."""
    padded = table + [0] * (len(table) % 2)
    out = bytearray()
    for low, high in zip(padded[::2], padded[1::2], strict=True):
        out += bytes((low & 0xFF, (low >> 8) | ((high & 0xF) << 4), high >> 4))
    return bytes(out)


def _named(name: str, number: int, first: int, size: int) -> bytes:
    """The long name's pieces, last first, and the short entry that they belong to."""
    short = f"FILE{number:03d}~ZOS"[:8].encode() + b"   "
    check = 0
    for byte in short:
        check = ((check & 1) << 7 | check >> 1) + byte & 0xFF
    units = [*struct.unpack(f"<{len(name)}H", name.encode("utf-16-le")), 0]
    units += [0xFFFF] * (-len(units) % 13)
    pieces = [units[start : start + 13] for start in range(0, len(units), 13)]
    out = bytearray()
    for order in range(len(pieces), 0, -1):
        piece = struct.pack("<13H", *pieces[order - 1])
        last = 0x40 if order == len(pieces) else 0
        out += struct.pack("<B10sBBB12sH4s", order | last, piece[:10], 0x0F, 0, check, piece[10:22], 0, piece[22:])
    return bytes(out) + _entry(short, 0x20, first, size)


def _entry(name: bytes, attributes: int, first: int, size: int) -> bytes:
    return struct.pack("<11sB14xHI", name, attributes, first, size)
