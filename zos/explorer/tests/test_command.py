"""The explorer as a process is started and stopped."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
from pathlib import Path

import aiohttp
import pytest

from zos.cli import main as cli
from zos.explorer.command import Settings
from zos.explorer.errors import BadDatabase
from zos.explorer.service import serve
from zos.explorer.tests.grid import grid


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    async with grid() as g:
        port = free_port()
        serving = asyncio.create_task(serve(Settings([g.dev.url], str(tmp_path / "x.sqlite"), port=port)))
        async with aiohttp.ClientSession() as session, asyncio.timeout(20):
            while not await follows(session, port):
                assert not serving.done(), serving.result()
                await asyncio.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(20):
            await serving


async def follows(session: aiohttp.ClientSession, port: int) -> bool:
    try:
        async with session.get(f"http://127.0.0.1:{port}/health") as answer:
            return bool((await answer.json())["total_state_ok"])
    except aiohttp.ClientConnectorError:
        return False


async def test_a_database_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "no-database").write_text("this is a letter\n" * 100)
    with pytest.raises(BadDatabase) as caught:
        await serve(Settings(["ws://127.0.0.1:1"], str(tmp_path / "no-database"), port=0))
    assert "not a database" in str(caught.value)


def test_the_command_has_its_options() -> None:
    arguments: argparse.Namespace = cli.parser().parse_args(
        ["gridproxy", "--chain", "ws://x", "--listen", "[::1]:8000", "--database", "grid.sqlite"]
    )
    assert (arguments.listen, arguments.database) == ("[::1]:8000", "grid.sqlite")
