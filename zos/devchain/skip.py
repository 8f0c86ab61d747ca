"""Owns the making of blocks in which nothing happens, many thousand a second: what each would have changed is known.

A chain that skips is the same chain, hash by hash, as one that makes the same blocks one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import xxhash

from zos.devchain.block import Block, digest, inherent, seal
from zos.devchain.pallets.system import BLOCK_HASHES, dispatch_info
from zos.devchain.runtime import BY_NAME
from zos.devchain.state import Changes
from zos.devchain.store import Row
from zos.scale.reader import compact

SYSTEM, TIMESTAMP = BY_NAME["System"], BY_NAME["Timestamp"]
NUMBER, PARENT, EVENTS, COUNT = (SYSTEM.key(name) for name in ("Number", "ParentHash", "Events", "EventCount"))
NOW = TIMESTAMP.key("Now")
_HASHES = SYSTEM.key("BlockHash")
MANDATORY = {**dispatch_info(False), "class": "Mandatory"}
TIME_IS_SET: list[Any] = [
    {
        "phase": {"ApplyExtrinsic": 0},
        "event": {"System": {"ExtrinsicSuccess": {"dispatch_info": MANDATORY}}},
        "topics": [],
    }
]
QUIET = SYSTEM.item("Events").value.encode(TIME_IS_SET)
ONE = (1).to_bytes(4, "little")
_FIXED = EVENTS + b"\1" + QUIET
_AFTER_NUMBER = COUNT + b"\1" + ONE


def hash_key(number: int) -> bytes:
    """Where the hash of a block is stored; `SYSTEM.key("BlockHash", number)`, faster."""
    raw = number.to_bytes(4, "little")
    return _HASHES + xxhash.xxh64_intdigest(raw).to_bytes(8, "little") + raw


def _root(above: bytes, number: int, parent: bytes, now: int) -> bytes:
    """As `block.state_root` of the block's changes: the same parts, already in the order of their keys."""
    hashes = [hash_key(number - 1) + b"\1" + parent]
    if number - 1 >= BLOCK_HASHES:
        hashes.append(hash_key(number - 1 - BLOCK_HASHES) + b"\0")
        hashes.sort()
    return digest(
        b"".join(
            (
                above,
                NUMBER + b"\1" + number.to_bytes(4, "little"),
                _AFTER_NUMBER,
                _FIXED,
                PARENT + b"\1" + parent,
                *hashes,
                NOW + b"\1" + now.to_bytes(8, "little"),
            )
        )
    )


def quiet(head: Block, count: int, step: int) -> Iterator[Row]:
    """The next blocks after `head`, so many milliseconds apart."""
    number, hash, root, now = head.number, head.hash, head.state_root, head.now
    for _ in range(count):
        number, now = number + 1, now + step
        root = _root(root, number, hash, now)
        slot = b"\x04\x06aura\x20" + (now // 6000).to_bytes(8, "little")
        hash = digest(hash + compact(number) + root + digest(inherent(now)) + slot)
        yield number, hash, root, now


def last(head: Block, rows: list[Row]) -> Block:
    """The last of them, as a block."""
    number, _, root, now = rows[-1]
    above = rows[-2][1] if len(rows) > 1 else head.hash
    return seal(number, above, root, (inherent(now),), now)


def changes(head: Block, rows: list[Row]) -> Changes:
    """All that they changed, taken together."""
    end = rows[-1][0]
    hashes = {head.number: head.hash} | {row[0]: row[1] for row in rows[-BLOCK_HASHES - 1 : -1]}
    kept: Changes = {
        hash_key(number): (hash if number >= end - BLOCK_HASHES else None) for number, hash in hashes.items()
    }
    for number in range(max(0, head.number - BLOCK_HASHES), min(head.number, end - BLOCK_HASHES)):
        kept[hash_key(number)] = None
    return kept | {
        NUMBER: end.to_bytes(4, "little"),
        PARENT: rows[-2][1] if len(rows) > 1 else head.hash,
        EVENTS: QUIET,
        COUNT: ONE,
        NOW: rows[-1][3].to_bytes(8, "little"),
    }
