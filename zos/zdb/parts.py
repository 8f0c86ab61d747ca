"""What a namespace consists of beside its files and keys: its record, batches of writes, counters of trouble."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from zos.runtime.files import write_atomic
from zos.zdb import format as fmt
from zos.zdb.files import Written
from zos.zdb.format import Item, Settings

RECORD = "zdb-namespace"


class Refused(Exception):
    """A command that is answered by an error; the text is 0-db's."""


@dataclass
class Batch:
    """Writes on their way to the disk."""

    descriptors: list[int]
    written: Written
    replaced: dict[tuple[int, int], Item | None]
    """Places to be changed in place afterwards: None marks the item there as deleted, an item is written over it."""
    is_settled: bool = False


@dataclass
class Statistics:
    """Counters that NSINFO shows."""

    index_errors: int = 0
    index_error_last: int = 0
    index_faults: int = 0
    data_errors: int = 0
    data_error_last: int = 0
    data_faults: int = 0
    data_read: int = 0
    data_written: int = 0
    index_read: int = 0
    index_written: int = 0


def write_settings(folder: Path, settings: Settings) -> None:
    """Keep a namespace's record. One that is there is written in place, as 0-db does: a few bytes within one sector."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = fmt.pack_settings(settings)
    try:
        descriptor = os.open(folder / RECORD, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        # A kill leaves none or all of it.
        write_atomic(folder / RECORD, raw)
        return
    try:
        os.pwrite(descriptor, raw, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def has_settings(folder: Path) -> bool:
    """Whether a namespace's record is there. An empty one beside no entries is what a kill of an older release left."""
    try:
        return (folder / RECORD).stat().st_size > 0 or any(folder.glob("i[0-9]*"))
    except FileNotFoundError:
        return False
