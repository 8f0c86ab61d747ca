"""Signed deployments left for nodes to fetch (pull mode): small documents by their hash, and kept for months."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zos.errors import Status, ZosError
from zos.model.challenge import hashes
from zos.model.deployment import decode
from zos.runtime.files import write_atomic

LIMIT = 3 << 19
"""Bytes of a document; those that are sealed are a third larger than the mebibyte that nodes take."""
TOTAL, EACH = 8 << 30, 512 << 20
"""Bytes that are kept: of all, and of one network (an IPv4 address, a /64), which never has more than half of what the
others leave."""
MOST_VALUES = 50_000
"""Of one document, as nodes take: an empty list costs thirty times as much memory as its two bytes."""
OVERHEAD = 4096
"""Bytes that a file takes besides its own."""
DAY = 24 * 3600
KEPT = 180 * DAY
"""Seconds after which a document goes that nobody asked for."""
LATELY = 3600
"""Seconds in which a second question for a document is not written down."""
SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS network (name TEXT PRIMARY KEY, held INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS document (
    name TEXT PRIMARY KEY, network TEXT NOT NULL, size INTEGER NOT NULL, used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lived (seconds INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS by_network ON document (network, used);
CREATE INDEX IF NOT EXISTS by_age ON document (used);
CREATE INDEX IF NOT EXISTS by_size ON network (held);
CREATE TRIGGER IF NOT EXISTS comes AFTER INSERT ON document BEGIN
    INSERT INTO network VALUES (new.network, new.size) ON CONFLICT (name) DO UPDATE SET held = held + new.size;
END;
CREATE TRIGGER IF NOT EXISTS goes AFTER DELETE ON document BEGIN
    UPDATE network SET held = held - old.size WHERE name = old.network;
    DELETE FROM network WHERE name = old.network AND held <= 0;
END;
"""
_NAME = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}")


class BadDeployment(ZosError):
    """What was sent cannot be kept under this name."""

    reason = "hub.bad_deployment"
    status = Status.INVALID_ARGUMENT
    text = "{problem}"


class DeploymentTaken(ZosError):
    """Something else is kept under this name."""

    reason = "hub.deployment_taken"
    status = Status.ALREADY_EXISTS
    text = "another document is kept as {name}"


class HubFull(ZosError):
    """There is no room, or the uploader has used up its share."""

    reason = "hub.full"
    status = Status.RESOURCE_EXHAUSTED
    text = "this hub keeps no more documents of yours"
    hint = "hand them to nodes from your own vault (--vault), or use another hub"


def path(root: Path, name: str) -> Path:
    """Where a deployment is kept; its name is 64 hex digits (sha256 or blake2b) or 32 (a contract's hash)."""
    if not _NAME.fullmatch(name):
        raise BadDeployment(problem=f"{name!r:.80} is no hash: 64 or 32 hex digits in lower case")
    return root / "deployments" / name


class DocumentStore:
    """Documents below a root, and whose they are: a node fetches one within minutes, and again when it was made anew.

    One goes when nobody asked for it for long; when there is no room, the least lately used one of whoever has most.
    """

    def __init__(self, root: Path, total: int = TOTAL, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is one that nobody sets; times are seconds for which the store was open, over all its lives."""
        self._root = root
        self._total = total
        self._clock = clock
        self._lock = threading.Lock()
        (root / "deployments").mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(root / ".documents", check_same_thread=False, isolation_level=None)
        self._database.executescript(SCHEMA)
        lived = self._database.execute("SELECT max(seconds) FROM lived").fetchone()[0]
        if lived is None:
            self._database.execute("INSERT INTO lived VALUES (0)")
        self._began = clock() - (lived or 0)
        self._noted = lived or 0
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if not version:
            self._adopt()
        elif version == 1:
            # It had the wall clock's times. One that was set cannot have most of them go now.
            latest = "UPDATE document SET used = max(used - ?, ?)"
            self._database.execute(latest, (int(time.time()), -KEPT // 2))
            self._database.execute("PRAGMA user_version = 2")

    def _now(self) -> int:
        now = int(self._clock() - self._began)
        if now - self._noted >= LATELY:
            self._database.execute("UPDATE lived SET seconds = ?", (now,))
            self._noted = now
        return now

    def _adopt(self) -> None:
        """Take in what an earlier release left, which nobody knows the senders of."""
        with self._lock, self._database:
            self._database.execute("BEGIN")
            for one in os.scandir(self._root / "deployments"):
                if _NAME.fullmatch(one.name):
                    seen = one.stat()
                    self._insert(one.name, "", seen.st_size + OVERHEAD, self._now())
            self._database.execute("PRAGMA user_version = 2")
        (self._root / ".uploads").unlink(missing_ok=True)

    def close(self) -> None:
        self._database.execute("UPDATE lived SET seconds = ?", (int(self._clock() - self._began),))
        self._database.close()

    def add(self, name: str, document: bytes, network: str) -> bool:
        """Write a checked document; false when it was there already. Raises DeploymentTaken, HubFull."""
        place = path(self._root, name)
        with self._lock:
            if place.exists():
                if place.read_bytes() != document:
                    raise DeploymentTaken(name=name)
                self._touch(name)
                return False
            size = len(document) + OVERHEAD
            try:
                self._forget(name)
                self._expire()
                self._make_room(network, size)
                # First: a row without its file is forgotten in time, a file without its row never would be.
                self._insert(name, network, size, self._now())
                write_atomic(place, document, mode=0o644)
            except (OSError, sqlite3.Error):
                self._remove(name)
                raise HubFull() from None
        return True

    def used(self, name: str) -> None:
        """Somebody asked for it."""
        with self._lock:
            self._touch(name)

    def _touch(self, name: str) -> None:
        now = self._now()
        self._database.execute("UPDATE document SET used = ? WHERE name = ? AND used < ?", (now, name, now - LATELY))

    def _expire(self) -> None:
        """A few at a time, at least one for each that comes."""
        before = self._now() - KEPT
        rows = self._database.execute("SELECT name FROM document WHERE used < ? ORDER BY used LIMIT 16", (before,))
        for (name,) in rows.fetchall():
            self._remove(name)

    def _make_room(self, network: str, size: int) -> None:
        while True:
            mine = self._sum("SELECT total(held) FROM network WHERE name = ?", network)
            free = self._total - self._sum("SELECT total(held) FROM network")
            if mine + size <= EACH and size <= free and (not mine or 2 * (mine + size) <= free + mine):
                return
            name = (self._of_most(mine + size) if mine + size <= EACH else None) or self._old(network)
            if name is None or not self._remove(name):
                raise HubFull()

    def _sum(self, query: str, *values: str) -> int:
        return int(self._database.execute(query, values).fetchone()[0])

    def _of_most(self, mine: int) -> str | None:
        """The least lately used document of the network that has most, which has more than `mine` without it."""
        query = "SELECT name, held FROM network ORDER BY held DESC LIMIT 1"
        most, held = self._database.execute(query).fetchone() or ("", 0)
        row = self._oldest(most)
        return None if row is None or held - row[1] < mine else str(row[0])

    def _old(self, network: str) -> str | None:
        """The network's own least lately used one, which a node has fetched long ago."""
        row = self._oldest(network)
        return None if row is None or row[2] > self._now() - DAY else str(row[0])

    def _oldest(self, network: str) -> Any:
        query = "SELECT name, size, used FROM document WHERE network = ? ORDER BY used LIMIT 1"
        return self._database.execute(query, (network,)).fetchone()

    def _insert(self, name: str, network: str, size: int, used: int) -> None:
        self._database.execute("INSERT INTO document VALUES (?, ?, ?, ?)", (name, network, size, used))

    def _remove(self, name: str) -> bool:
        """Whether it is gone."""
        try:
            path(self._root, name).unlink(missing_ok=True)
            self._forget(name)
        except (OSError, sqlite3.Error):
            return False
        return True

    def _forget(self, name: str) -> None:
        self._database.execute("DELETE FROM document WHERE name = ?", (name,))


def check(name: str, document: bytes) -> None:
    """Refuse what does not belong under this name: each is a hash of what it names, so none can be taken first."""
    if len(document) > LIMIT:
        raise BadDeployment(problem=f"the document has {len(document)} bytes, at most {LIMIT} are kept")
    if sum(map(document.count, (b"[", b"{", b","))) > MOST_VALUES:
        raise BadDeployment(problem=f"the document has more than {MOST_VALUES} values, which no node takes")
    try:
        json.loads(document)
    except (ValueError, RecursionError) as err:
        raise BadDeployment(problem=f"the document is not JSON: {err}") from None
    if len(name) == 64:
        digests = {hashlib.sha256(document).hexdigest(), hashlib.blake2b(document, digest_size=32).hexdigest()}
        if name not in digests:
            raise BadDeployment(problem=f"the document's sha256 is {hashlib.sha256(document).hexdigest()}, not {name}")
        return
    try:
        found = {one.hex() for one in hashes(decode(document))}
    except ZosError as err:
        raise BadDeployment(problem=f"under 32 digits only a deployment of this hash is kept: {err}") from None
    if name not in found:
        raise BadDeployment(problem=f"the deployment's hash is not {name}")
