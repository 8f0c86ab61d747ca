"""Owns what a block is: its extrinsics, its roots, its header and its hash. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from zos.scale.reader import Reader, compact, read_compact

SLOT = 6
"""Seconds between two blocks on the live chain, and in virtual time."""
ZERO = bytes(32)
TIMESTAMP = 1
"""Number of the pallet whose call begins each block; older runtimes have another."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block: number, hash, SCALE header, extrinsics as they were sent, time in unix milliseconds."""

    number: int
    hash: bytes
    header: bytes
    body: tuple[bytes, ...]
    parent: bytes
    state_root: bytes
    extrinsics_root: bytes
    logs: tuple[bytes, ...]
    now: int


def digest(raw: bytes) -> bytes:
    """The hash of blocks, extrinsics and roots."""
    return hashlib.blake2b(raw, digest_size=32).digest()


def inherent(now: int, pallet: int = TIMESTAMP) -> bytes:
    """The extrinsic that every block begins with: its time."""
    raw = bytes([4, pallet, 0]) + compact(now)
    return compact(len(raw)) + raw


def state_root(above: bytes, changes: Mapping[bytes, bytes | None]) -> bytes:
    """A root that follows from the parent's and all that the block changed. No client checks tries."""
    parts = [above]
    for key in sorted(changes):
        value = changes[key]
        parts.append(key + (b"\0" if value is None else b"\1" + value))
    return digest(b"".join(parts))


def seal(number: int, above: bytes, root: bytes, body: Iterable[bytes], now: int) -> Block:
    """The block of these parts."""
    body = tuple(body)
    extrinsics_root = digest(b"".join(body))
    logs = (b"\x06aura" + b"\x20" + (now // 1000 // SLOT).to_bytes(8, "little"),) if number else ()
    header = above + compact(number) + root + extrinsics_root + compact(len(logs)) + b"".join(logs)
    return Block(number, digest(header), header, body, above, root, extrinsics_root, logs, now)


def split(raw: bytes) -> Iterator[bytes]:
    """The extrinsics of a body that was joined: each begins with its length."""
    reader = Reader(raw)
    while reader.left:
        start = reader.position
        reader.take(read_compact(reader))
        yield raw[start : reader.position]
