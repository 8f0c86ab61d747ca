"""The chain on disk: state, blocks and the way back, one transaction per block, so that a kill loses nothing.

A block without extrinsics takes about a hundred bytes, since months of virtual time are mostly such blocks.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from zos.devchain import block
from zos.devchain.block import ZERO, Block
from zos.devchain.state import HISTORY, Changes
from zos.errors import Status, ZosError

LAYOUT = 2
SCHEMA = """
create table if not exists state (key blob primary key, value blob not null) without rowid;
create table if not exists blocks (number integer primary key, hash blob not null, state_root blob not null,
                                   now integer not null, body blob);
create unique index if not exists blocks_by_hash on blocks (hash);
create table if not exists undo (number integer primary key, changes blob not null);
create table if not exists farming (number integer primary key, now integer not null, events blob not null);
create index if not exists farming_by_time on farming (now);
create table if not exists facts (name text primary key, value text not null) without rowid;
"""
Row = tuple[int, bytes, bytes, int]
"""Number, hash, state root and time of a block without extrinsics."""


class OldChain(ZosError):
    """The file was written by an older program."""

    reason = "devchain.old_chain"
    status = Status.FAILED_PRECONDITION
    text = "the chain in {path} was written in an older layout"
    hint = "move the file away; the chain begins anew"


class Store:
    """An SQLite file, or nothing but memory when no path is given."""

    def __init__(self, path: Path | None, timestamp: int = block.TIMESTAMP) -> None:
        self._timestamp = timestamp
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False)
        self._is_batch = False
        (layout,) = self._db.execute("pragma user_version").fetchone()
        (tables,) = self._db.execute("select count(*) from sqlite_master").fetchone()
        if tables and layout != LAYOUT:
            self._db.close()
            raise OldChain(path=path)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = normal")
        self._db.executescript(SCHEMA)
        self._db.execute(f"pragma user_version = {LAYOUT}")

    # Reading

    def state(self) -> Iterator[tuple[bytes, bytes]]:
        """Everything that is stored now."""
        yield from self._db.execute("select key, value from state")

    def height(self) -> int:
        """The number of the newest block; -1 when there is none."""
        (number,) = self._db.execute("select max(number) from blocks").fetchone()
        return -1 if number is None else int(number)

    def block(self, number: int) -> Block:
        """A block that there is."""
        rows = self._db.execute(
            "select hash, state_root, now, body from blocks where number in (?, ?) order by number",
            (number - 1, number),
        ).fetchall()
        _, root, now, body = rows[-1]
        above = rows[0][0] if number else ZERO
        extrinsics = () if not number else (block.inherent(now, self._timestamp), *block.split(body or b""))
        return block.seal(number, above, root, extrinsics, now)

    def number_of(self, hash: bytes) -> int | None:
        """The number of the block with a hash."""
        row = self._db.execute("select number from blocks where hash = ?", (hash,)).fetchone()
        return None if row is None else int(row[0])

    def undos(self) -> Iterator[tuple[int, Changes]]:
        """What the last blocks replaced."""
        for number, raw in self._db.execute("select number, changes from undo order by number"):
            yield number, dict(msgspec.msgpack.decode(raw, type=list[tuple[bytes, bytes | None]]))

    def farming(self, start: int, end: int) -> Iterator[tuple[int, int, bytes]]:
        """Number, time and farming events of the blocks with times in [start, end), in unix milliseconds."""
        yield from self._db.execute(
            "select number, now, events from farming where now >= ? and now < ? order by number", (start, end)
        )

    def fact(self, name: str) -> str | None:
        """A small thing that is remembered."""
        row = self._db.execute("select value from facts where name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    # Writing

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Everything inside becomes one transaction."""
        self._is_batch = True
        try:
            with self._db:
                yield
        finally:
            self._is_batch = False

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._is_batch:
            yield
            return
        with self._db:
            yield

    def remember(self, name: str, value: str) -> None:
        with self._transaction():
            self._db.execute("insert or replace into facts values (?, ?)", (name, value))

    def append(self, new: Block, changes: Changes, undo: Changes, farming: bytes | None) -> None:
        """A new block with its changes, at once."""
        body = b"".join(new.body[1:]) or None
        with self._transaction():
            self._change(changes)
            row = (new.number, new.hash, new.state_root, new.now, body)
            self._db.execute("insert into blocks values (?, ?, ?, ?, ?)", row)
            raw = msgspec.msgpack.encode(list(undo.items()))
            self._db.execute("insert or replace into undo values (?, ?)", (new.number, raw))
            self._db.execute("delete from undo where number = ?", (new.number - HISTORY,))
            if farming is not None:
                self._db.execute("insert into farming values (?, ?, ?)", (new.number, new.now, farming))

    def append_quiet(self, rows: Iterable[Row], changes: Changes) -> None:
        """Blocks in which nothing happened, with all their changes; there is no way back before them."""
        with self._transaction():
            self._change(changes)
            self._db.executemany("insert into blocks values (?, ?, ?, ?, null)", rows)
            self._db.execute("delete from undo")

    def take_back(self, number: int, changes: Changes) -> None:
        """Removes the blocks from `number` on; `changes` are the values that they replaced."""
        with self._transaction():
            self._change(changes)
            for table in ("blocks", "undo", "farming"):
                self._db.execute(f"delete from {table} where number >= ?", (number,))  # noqa: S608 - fixed names

    def close(self) -> None:
        self._db.close()

    def _change(self, changes: Changes) -> None:
        gone = [(key,) for key, value in changes.items() if value is None]
        here = [(key, value) for key, value in changes.items() if value is not None]
        if gone:
            self._db.executemany("delete from state where key = ?", gone)
        self._db.executemany("insert or replace into state values (?, ?)", here)
