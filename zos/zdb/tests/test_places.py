"""Idle strangers, however many networks they have, keep no tenant out, and no tenant loses a connection to them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from zos.zdb import server
from zos.zdb.tests.replay import Client, running

MOST = 16


@pytest.mark.parametrize("networks", [4, 60])
async def test_idle_strangers_of_many_networks_keep_no_tenant_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, networks: int
) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", MOST)
    async with running(tmp_path, "--admin secret --protect") as port:
        admin = await Client.to(port)
        assert await admin.command(b"AUTH", b"secret") == b"+OK\r\n"
        await admin.command(b"NSNEW", b"mine")
        await admin.command(b"NSSET", b"mine", b"password", b"word")
        tenant = await Client.to(port)
        assert await tenant.command(b"SELECT", b"mine", b"word") == b"+OK\r\n"
        strangers = [await _from(port, number % networks) for number in range(60)]
        for one in strangers[-MOST // 2 :]:
            await one.command(b"PING")
        another = await Client.to(port)
        assert await another.command(b"SELECT", b"mine", b"word") == b"+OK\r\n", "there is a place for one more"
        assert await tenant.command(b"SET", b"key", b"value") == b"$3\r\nkey\r\n", "the silent one is there"
        assert await admin.command(b"PING") == b"+PONG\r\n"
        for one in (*strangers, tenant, another, admin):
            await one.close()


async def _from(port: int, number: int) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.1.{number + 1}", 0)))
