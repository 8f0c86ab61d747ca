"""Programs that do not end."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from zos.runtime import proc
from zos.runtime.proc import ProgramTooSlow


@pytest.mark.process
async def test_a_program_whose_end_does_not_come_after_its_kill_holds_nobody_up(tmp_path: Path):
    loop = asyncio.get_running_loop()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    began = loop.time()
    with pytest.raises(ProgramTooSlow):
        # What it leaves behind keeps its pipes, and asyncio takes it for not ended, as one that hangs in the kernel.
        await proc.run(["sh", "-c", f"setsid cat {pipe} & wait"], deadline=0.5)
    assert loop.time() - began < 0.5 + proc.REAP + 5
    async with asyncio.timeout(5):
        await _until_nobody_reads(pipe)


async def _until_nobody_reads(pipe: Path) -> None:
    while True:
        try:
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return
        await asyncio.sleep(0.01)
