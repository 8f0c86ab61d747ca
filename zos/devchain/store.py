"""The chain on disk: state, blocks and the way back, one transaction per block, so that a kill loses nothing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zos.devchain.state import HISTORY, Changes

SCHEMA = """
create table if not exists state (key blob primary key, value blob not null) without rowid;
create table if not exists blocks (number integer primary key, hash blob not null, header blob not null,
                                   body text not null, undo text not null);
create table if not exists facts (name text primary key, value text not null) without rowid;
"""


@dataclass(frozen=True, slots=True)
class Block:
    """A block: number, hash, SCALE header, extrinsics as they were sent."""

    number: int
    hash: bytes
    header: bytes
    body: tuple[bytes, ...]
    parent: bytes
    state_root: bytes
    extrinsics_root: bytes
    logs: tuple[bytes, ...]


class Store:
    """An SQLite file, or nothing but memory when no path is given."""

    def __init__(self, path: Path | None) -> None:
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = normal")
        self._db.executescript(SCHEMA)

    def state(self) -> Iterator[tuple[bytes, bytes]]:
        """Everything that is stored now."""
        yield from self._db.execute("select key, value from state")

    def blocks(self) -> Iterator[tuple[Block, Changes]]:
        """All blocks with what they replaced (only of the last ones)."""
        for number, hash, header, body, undo in self._db.execute(
            "select number, hash, header, body, undo from blocks order by number"
        ):
            parts = json.loads(body)
            block = Block(
                number,
                hash,
                header,
                body=tuple(map(bytes.fromhex, parts["body"])),
                parent=bytes.fromhex(parts["parent"]),
                state_root=bytes.fromhex(parts["state_root"]),
                extrinsics_root=bytes.fromhex(parts["extrinsics_root"]),
                logs=tuple(map(bytes.fromhex, parts["logs"])),
            )
            yield block, _unpack(undo)

    def fact(self, name: str) -> str | None:
        """A small thing that is remembered."""
        row = self._db.execute("select value from facts where name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def remember(self, name: str, value: str) -> None:
        """Remember a small thing."""
        with self._db:
            self._db.execute("insert or replace into facts values (?, ?)", (name, value))

    def append(self, block: Block, changes: Changes, undo: Changes) -> None:
        """A new block with its changes, at once."""
        parts = {
            "body": [one.hex() for one in block.body],
            "parent": block.parent.hex(),
            "state_root": block.state_root.hex(),
            "extrinsics_root": block.extrinsics_root.hex(),
            "logs": [one.hex() for one in block.logs],
        }
        with self._db:
            self._change(changes)
            self._db.execute(
                "insert or replace into blocks values (?, ?, ?, ?, ?)",
                (block.number, block.hash, block.header, json.dumps(parts), _pack(undo)),
            )
            self._db.execute("update blocks set undo = '{}' where number = ?", (block.number - HISTORY,))

    def take_back(self, number: int, changes: Changes) -> None:
        """The newest block never was."""
        with self._db:
            self._change(changes)
            self._db.execute("delete from blocks where number >= ?", (number,))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _change(self, changes: Changes) -> None:
        for key, value in changes.items():
            if value is None:
                self._db.execute("delete from state where key = ?", (key,))
            else:
                self._db.execute("insert or replace into state values (?, ?)", (key, value))


def _pack(changes: Changes) -> str:
    return json.dumps({key.hex(): value.hex() if value is not None else None for key, value in changes.items()})


def _unpack(text: str) -> Changes:
    found = json.loads(text)
    return {bytes.fromhex(key): bytes.fromhex(value) if value is not None else None for key, value in found.items()}
