"""The log of a deployment's transitions, which `changes` answers: one file of JSON lines beside each record.

It is bounded in bytes. When it grows over that, the newest half stays, and of every workload that is still there the
newest entry.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zos.model.deployment import ResultState, encode_workload
from zos.model.units import KiB
from zos.provisiond.lifecycle import VALUE
from zos.provisiond.model import Item
from zos.runtime.files import sync_folder, write_atomic

log = logging.getLogger("zos.provisiond")

LIMIT = int(KiB(1024))
"""Bytes of a log."""

Entry = Mapping[str, Any]


class DeploymentLog:
    """The logs of all deployments, by contract."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._limit = limit
        self._costs: dict[int, int] = {}
        """Of the logs that were written to. Nothing else stays in memory: refused documents are among the
        entries, and cost their user nothing."""

    def entries(self, contract: int) -> Sequence[Entry]:
        """Every entry that is kept, oldest first."""
        return self._read(contract)

    def append(self, contract: int, *items: Item) -> None:
        """Note the states of workloads; what the log says of them already is not said again."""
        new = [encode_workload(item.workload()) for item in items]
        if new:
            known = self._read(contract)
            self._extend(contract, known, [entry for entry in new if not _is_told(known, entry)])

    def extend(self, contract: int, entries: Sequence[Entry]) -> None:
        """Append entries as they are."""
        self._extend(contract, self._read(contract), entries)

    def _extend(self, contract: int, known: Sequence[Entry], entries: Sequence[Entry]) -> None:
        if not entries:
            return
        data = b"".join(_line(entry) for entry in entries)
        with self._path(contract).open("ab") as file:
            self._path(contract).chmod(0o600)
            file.write(data)
            file.flush()
            os.fdatasync(file.fileno())
        self._costs[contract] += _cost(data)
        if self._costs[contract] > self._limit:
            self._write(contract, _shortened([*known, *entries], self._limit // 2))

    def forget(self, contract: int, version: int) -> None:
        """Take out a version that was refused before: clients would take its entries for those of the new try."""
        known = self._read(contract)
        rest = [entry for entry in known if entry["version"] != version]
        if len(rest) != len(known):
            self._write(contract, rest)

    def drop(self, contract: int) -> None:
        """The deployment is gone."""
        self._costs.pop(contract, None)
        if self._path(contract).exists():
            self._path(contract).unlink()
            sync_folder(self._folder)

    def _path(self, contract: int) -> Path:
        return self._folder / f"{contract}.jsonl"

    def _read(self, contract: int) -> list[Entry]:
        path = self._path(contract)
        data = path.read_bytes() if path.exists() else b""
        found: list[Entry] = []
        for line in data.splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                # The last line of a file that a power cut tore.
                log.warning("a torn line in %s is passed over", path)
        self._costs[contract] = _cost(data)
        if data and (len(found) != len(data.splitlines()) or not data.endswith(b"\n")):
            self._write(contract, found)
        return found

    def _write(self, contract: int, entries: Sequence[Entry]) -> None:
        data = b"".join(_line(entry) for entry in entries)
        write_atomic(self._path(contract), data)
        self._costs[contract] = _cost(data)


def _is_told(known: Sequence[Entry], entry: Entry) -> bool:
    """A crash between the log and the record makes a transition happen twice."""
    last = next((one for one in reversed(known) if one["name"] == entry["name"]), None)
    return last is not None and _fate(last) == _fate(entry)


def _cost(data: bytes) -> int:
    """What counts of a log: its bytes, or a part of what they take in memory where many are brackets and commas."""
    return max(len(data), VALUE * sum(map(data.count, (b"[", b"{", b","))) // 16)


def _line(entry: Entry) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _fate(entry: Entry) -> tuple[Any, ...]:
    return entry["version"], entry["result"]["state"], entry["result"]["message"]


def _shortened(entries: Sequence[Entry], size: int) -> list[Entry]:
    newest: list[Entry] = []
    names = set()
    for entry in reversed(entries):
        size -= _cost(_line(entry))
        # What is gone, and a change that was refused, say nothing of what is there, whatever their names.
        passed = entry["result"]["state"] in (ResultState.DELETED, ResultState.UNCHANGED)
        if size < 0 and (passed or entry["name"] in names):
            continue
        newest.append(entry)
        if not passed:
            names.add(entry["name"])
    return newest[::-1]
