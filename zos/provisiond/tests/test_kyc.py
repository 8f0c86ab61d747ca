"""Who is known: one question per twin and while, a clear refusal, and no verdict when nobody answers."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from zos.fetch.tests.served import serving
from zos.provisiond.api.errors import CannotVerify, NotVerified
from zos.provisiond.kyc import BELIEVED, DOUBTED, Kyc
from zos.runtime.clock import FakeClock


class Service:
    """What the KYC service says."""

    def __init__(self) -> None:
        self.status = 200
        self.verdicts: dict[str, str] = {}
        self.asked: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        twin = request.query["twin_id"]
        self.asked.append(twin)
        return web.json_response({"result": {"status": self.verdicts.get(twin, "PENDING")}}, status=self.status)


@asynccontextmanager
async def service() -> AsyncIterator[Service]:
    made = Service()
    app = web.Application()
    app.router.add_get("/api/v1/status", made.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield made
    finally:
        await runner.cleanup()


async def test_nobody_is_asked_when_nothing_is_configured() -> None:
    await Kyc([], FakeClock()).check(7)


async def test_a_yes_is_believed_for_a_while_and_a_no_for_a_moment() -> None:
    async with service() as there:
        clock = FakeClock()
        kyc = Kyc([there.url], clock)
        with pytest.raises(NotVerified, match="user with twin id 7 is not verified"):
            await kyc.check(7)
        there.verdicts["7"] = "VERIFIED"
        with pytest.raises(NotVerified):
            await kyc.check(7)
        clock.advance(DOUBTED + 1)
        await kyc.check(7)
        there.verdicts.clear()
        await kyc.check(7)
        assert there.asked == ["7", "7"]
        clock.advance(BELIEVED + 1)
        with pytest.raises(NotVerified):
            await kyc.check(7)


async def test_a_service_that_fails_is_no_verdict_and_the_next_one_is_asked() -> None:
    async with service() as bad, service() as good:
        bad.status = 500
        good.verdicts["7"] = "VERIFIED"
        await Kyc([bad.url, good.url], FakeClock()).check(7)
        with pytest.raises(CannotVerify, match="HTTP status 500"):
            await Kyc(["http://127.0.0.1:1", bad.url], FakeClock()).check(7)


async def test_a_twin_that_the_service_never_heard_of_is_not_verified() -> None:
    async with service() as there:
        there.status = 404
        with pytest.raises(NotVerified):
            await Kyc([there.url], FakeClock()).check(7)


async def test_a_verdict_that_comes_in_parts_is_read_whole() -> None:
    body = b'{"result": {"status": "VERIFIED"}}'

    def in_parts(link: socket.socket) -> None:
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:9])
        time.sleep(0.05)
        link.sendall(body[9:])

    with serving({"/api/v1/status?twin_id=7": in_parts}) as there:
        await Kyc([there.url], FakeClock()).check(7)
