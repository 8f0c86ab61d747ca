"""Reads untrusted SQLite files: no schema code runs, only SELECT on known tables, and everything is bounded."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from zos.flist.errors import FlistBroken

MAGIC = b"SQLite format 3\0"
# UnicodeError: SQLite's own message may quote the file's bytes.
TROUBLE = (sqlite3.Error, sqlite3.Warning, OverflowError, MemoryError, UnicodeError)


class UntrustedSqlite:
    """An open file. Texts come as bytes. Whatever SQLite finds wrong is raised as FlistBroken of the flist `name`.

    `longest` bounds each value in bytes, `seconds` each statement and all of them together.
    """

    def __init__(
        self, path: Path, name: str, tables: Collection[str], *, longest: int = 1 << 20, seconds: float = 60.0
    ) -> None:
        self._name = name
        self._known = tables
        try:
            uri = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
            self._database = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        except TROUBLE as err:
            raise self._problem(err) from None
        try:
            self._harden(longest, time.monotonic() + seconds)
        except TROUBLE as err:
            self._database.close()
            raise self._problem(err) from None

    def __enter__(self) -> UntrustedSqlite:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, tb: TracebackType | None) -> None:
        self._database.close()

    def broken(self, problem: str) -> FlistBroken:
        """An error that says what is wrong with the file."""
        return FlistBroken(flist=self._name, problem=problem)

    def rows(self, sql: str, limit: int, *values: object) -> Iterator[tuple[object, ...]]:
        """A SELECT's rows; more than `limit` are refused."""
        try:
            for count, row in enumerate(self._database.execute(sql, values)):
                if count >= limit:
                    raise self.broken(f"it has more than {limit} rows in a table")
                yield row
        except TROUBLE as err:
            raise self._problem(err) from None

    def tables(self, *needed: str) -> set[str]:
        """The names of its tables, of which some must be there. Views and triggers are refused."""
        found: set[str] = set()
        for kind, name in self.rows("SELECT type, name FROM sqlite_master", 1000):
            text = name.decode(errors="replace") if isinstance(name, bytes) else ""
            if kind in (b"view", b"trigger"):
                raise self.broken(f"it holds a {kind.decode() if isinstance(kind, bytes) else kind}, {text}")
            if kind == b"table":
                found.add(text)
        missing = sorted(set(needed) - found)
        if missing:
            raise self.broken(f"it has no table {missing[0]}")
        return found

    def _problem(self, err: BaseException) -> FlistBroken:
        return self.broken(str(err) or type(err).__name__)

    def _harden(self, longest: int, end: float) -> None:
        self._database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, longest)
        self._database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        self._database.text_factory = bytes
        for pragma in ("trusted_schema=OFF", "query_only=ON", "cell_size_check=ON", "mmap_size=0", "cache_size=-4096"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.set_authorizer(self._allow)
        self._database.set_progress_handler(lambda: time.monotonic() > end, 100_000)

    def _allow(self, action: int, table: str | None, *_: object) -> int:
        """SELECT of the known tables and nothing else (sqlite_master has two names)."""
        if action == sqlite3.SQLITE_SELECT:
            return sqlite3.SQLITE_OK
        known = table in (*self._known, "sqlite_master", "sqlite_schema")
        return sqlite3.SQLITE_OK if action == sqlite3.SQLITE_READ and known else sqlite3.SQLITE_DENY
