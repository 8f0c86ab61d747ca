"""What a daemon keeps: one small JSON document per record, versioned and numbered, written atomically.

A record is `{"version", "generation", "key", "body"}`. A body of an older version is
brought up by pure functions; a record that cannot be read is set aside as `<name>.corrupt` and reported,
never silently replaced.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from zos.errors import Status, ZosError
from zos.runtime import paths
from zos.runtime.files import sync_folder, write_atomic

log = logging.getLogger("zos.ledger")

T = TypeVar("T")
Upgrade = Callable[[Any], Any]


class RecordFromTheFuture(ZosError):
    """The record was written by a newer release than this one."""

    reason = "runtime.record_from_the_future"
    status = Status.FAILED_PRECONDITION
    text = "{path} has version {version}; this release knows up to {known}"
    hint = "run the newer release again, or move the file away by hand"


class _Record(msgspec.Struct):
    version: int
    generation: int
    key: str
    body: Any


class Ledger(Generic[T]):
    """Records of one kind, by key, in one folder.

    Reads are from memory; every `put` and `drop` is on disk when it returns. With `keep_history`, each generation
    is also appended to `<name>.history` (one JSON document per line).
    """

    def __init__(
        self,
        folder: Path,
        body: type[T],
        version: int = 1,
        upgrades: Mapping[int, Upgrade] | None = None,
        keep_history: bool = False,
    ) -> None:
        self.folder = folder
        self.version = version
        self.corrupt: list[Path] = []
        self._body = body
        self._upgrades = dict(upgrades or {})
        self._keep_history = keep_history
        self._records: dict[str, tuple[int, T]] = {}
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in sorted(folder.glob("*.json")):
            self._read(path)

    def get(self, key: str) -> T | None:
        """The body under a key, or None."""
        record = self._records.get(key)
        return record[1] if record else None

    def generation(self, key: str) -> int:
        """How often the record changed; 0 when there is none."""
        record = self._records.get(key)
        return record[0] if record else 0

    def keys(self) -> tuple[str, ...]:
        """All keys, in a stable order."""
        return tuple(self._records)

    def items(self) -> tuple[tuple[str, T], ...]:
        """All records, in a stable order."""
        return tuple((key, body) for key, (_, body) in self._records.items())

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, key: str) -> bool:
        return key in self._records

    def put(self, key: str, body: T) -> int:
        """Write a record; returns its generation. An unchanged body writes nothing."""
        old = self._records.get(key)
        if old is not None and old[1] == body:
            return old[0]
        generation = (old[0] if old else 0) + 1
        record = _Record(self.version, generation, key, msgspec.to_builtins(body, enc_hook=paths.encode))
        data = msgspec.json.encode(record)
        if self._keep_history:
            self._append(self._path(key).with_suffix(".history"), data)
        write_atomic(self._path(key), msgspec.json.format(data, indent=1) + b"\n")
        self._records[key] = (generation, body)
        return generation

    def drop(self, key: str) -> None:
        """Remove a record; a missing one is fine. History stays."""
        if self._records.pop(key, None) is not None:
            self._path(key).unlink(missing_ok=True)
            sync_folder(self.folder)

    def history(self, key: str) -> Iterator[T]:
        """Every generation that was written, oldest first (with `keep_history`)."""
        path = self._path(key).with_suffix(".history")
        if not path.exists():
            return
        for line in path.read_bytes().splitlines():
            try:
                yield self._decode(line, path).body
            except (msgspec.MsgspecError, UnicodeDecodeError):
                # The last line of a file that a power cut tore; the record itself is whole.
                log.warning("a torn line in %s is passed over", path)

    def _path(self, key: str) -> Path:
        return self.folder / f"{quote(key, safe=':,+=@')}.json"

    def _append(self, path: Path, line: bytes) -> None:
        with path.open("ab") as file:
            path.chmod(0o600)
            file.write(line + b"\n")

    def _read(self, path: Path) -> None:
        try:
            record = self._decode(path.read_bytes(), path)
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, ValueError) as err:
            self._set_aside(path, err)
            return
        self._records[record.key] = (record.generation, record.body)

    def _decode(self, data: bytes, path: Path) -> _Record:
        record = msgspec.json.decode(data, type=_Record)
        if record.version > self.version:
            raise RecordFromTheFuture(path=path, version=record.version, known=self.version)
        while record.version < self.version:
            record.body = self._upgrades[record.version](record.body)
            record.version += 1
        record.body = msgspec.convert(record.body, self._body, dec_hook=paths.decode)
        return record

    def _set_aside(self, path: Path, err: Exception) -> None:
        aside = path.with_suffix(".json.corrupt")
        number = 1
        while aside.exists():
            aside = path.with_suffix(f".json.corrupt.{number}")
            number += 1
        path.rename(aside)
        self.corrupt.append(aside)
        log.error("%s cannot be read and was set aside as %s: %s", path, aside.name, err)
