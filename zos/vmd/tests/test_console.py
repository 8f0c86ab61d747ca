"""Consoles: small, whole at their end, readable while they grow."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from zos.vmd.api import MachineId
from zos.vmd.console import KEEP, SLACK, Consoles

ID = MachineId("a")


def write(consoles: Consoles, data: bytes) -> None:
    with consoles.path(ID).open("ab") as file:
        file.write(data)


def test_a_console_is_closed_to_others(tmp_path: Path):
    consoles = Consoles(tmp_path / "c")
    consoles.begin(ID, "now", 0)
    assert os.stat(consoles.path(ID)).st_mode & 0o777 == 0o600
    assert os.stat(tmp_path / "c").st_mode & 0o777 == 0o700


def test_the_past_outlives_a_boot(tmp_path: Path):
    consoles = Consoles(tmp_path)
    assert consoles.begin(ID, "now", 0) == 0
    write(consoles, b"first boot\n")
    offset = consoles.begin(ID, "later", 1)
    write(consoles, b"second boot\n")
    assert b"first boot" in consoles.tail(ID, 1000)
    assert b"first boot" not in consoles.boot(ID, offset)
    assert consoles.tail(ID, 5) == b"boot\n"
    consoles.drop(ID)
    assert consoles.tail(ID, 5) == b""


def test_a_guest_that_writes_without_end_does_not_fill_the_disk(tmp_path: Path):
    consoles = Consoles(tmp_path)
    for number in range(12):
        write(consoles, bytes([65 + number]) * (SLACK // 2))
        consoles.trim(ID)
    written = 12 * (SLACK // 2)
    assert consoles.size(ID) == written
    assert os.stat(consoles.path(ID)).st_blocks * 512 <= KEEP + SLACK + SLACK // 2 + 4096
    assert consoles.tail(ID, KEEP) == bytes([76]) * KEEP
    everything = consoles.tail(ID, 10 * written)
    assert everything.strip(b"ABCDEFGHIJKL") == b"", "what was cut away is not read as zeros"


def test_a_long_boot_shows_its_beginning_and_its_end(tmp_path: Path):
    consoles = Consoles(tmp_path)
    write(consoles, b"begin" + b"." * 200_000 + b"end")
    text = consoles.boot(ID, 0)
    assert text.startswith(b"begin")
    assert text.endswith(b"end")
    assert len(text) < 100_000


async def test_a_watcher_sees_the_past_and_what_comes_and_the_end(tmp_path: Path):
    consoles = Consoles(tmp_path)
    going = True
    write(consoles, b"old past, new past;")
    seen, last = b"", 0

    async def watch() -> None:
        nonlocal seen, last
        async for end, data in consoles.follow(ID, 9, lambda: going):
            seen, last = seen + data, end

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(watch())
        while b"past;" not in seen:
            await asyncio.sleep(0.01)
        write(consoles, b" more")
        while b"more" not in seen:
            await asyncio.sleep(0.01)
        going = False
    assert seen == b"new past; more"
    assert last == consoles.size(ID)
    assert [one async for one in consoles.follow(ID, 9, lambda: False, last - 5)] == [(last, b" more")]
