"""What is refused, in the words and with the status that the grid's clients and relays act upon."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest

from zos.fetch.policy import Policy
from zos.relay.federation import Federation, Outcome
from zos.relay.quota import Limit
from zos.relay.tests.test_hostile import LOUD
from zos.relay.tests.world import NODE, USER, message, raw, received, world
from zos.rmb import envelope as env
from zos.rmb import token
from zos.rmb.limits import RateLimiter
from zos.rmb.testing import Twin
from zos.rmb.wire_pb2 import Envelope
from zos.runtime.clock import SystemClock
from zos.runtime.proxies import Proxies


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"uid": "u" * 300}, "uid has 300 characters"),
        ({"relays": ["relay.lab"] * 20}, "names 20 relays"),
        ({"destination": {"connection": "s" * 300, "twin": 3}}, "destination has 300 characters"),
        ({"destination": {"twin": 0}}, "message with missing destination"),
        ({"destination": {"twin": 99}}, "unknown twin destination"),
        ({"destination": {"twin": 5}}, "relay info is not set for this twin"),
        ({"tags": "fail-fast"}, "destination offline"),
        ({"source": {"twin": 3}}, "message wrong source"),
    ],
)
async def test_a_request_that_is_refused_is_answered_in_the_words_that_clients_know(
    change: dict[str, object], said: str
) -> None:
    made = message(USER, 3)
    for name in change:
        made.ClearField(name)
    made.MergeFrom(Envelope(**change))  # type: ignore[arg-type]
    async with world() as w, raw(w, USER) as user:
        await user.send_bytes(made.SerializeToString())
        answer = await received(user)
    assert said in answer.error.message
    assert answer.uid == made.uid


async def test_a_limit_of_rate_is_no_final_refusal_to_another_relay() -> None:
    async with world(Limit(1, 10**6)) as w, aiohttp.ClientSession() as http:
        statuses = []
        for number in range(2):
            made = message(USER, NODE.id)
            made.uid = f"{number}"
            frame = (await env.signed(made, USER.key)).SerializeToString()
            async with http.post(f"{w.url}/a/path", data=frame) as answer:
                statuses.append(answer.status)
        assert statuses == [202, 429]
        port = w.url.rpartition(":")[2]
        async with Federation(SystemClock(), Policy(("127.0.0.1",)), "http", again=0.1) as away:
            # The limit is over in a minute; it does not give up before its message does.
            assert await away.send([f"127.0.0.1:{port}"], frame, 1.0) is Outcome.EXPIRED


async def test_a_join_that_is_not_completed_leaves_the_session_that_lives(caplog: pytest.LogCaptureFixture) -> None:
    text = await token.make(NODE.id, NODE.key, SystemClock().time(), "")
    async with world() as w, raw(w, NODE) as node:
        port = int(w.url.rpartition(":")[2])
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            head = f"GET /?{text} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            writer.write(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n".encode())
            await writer.drain()
            writer.transport.abort()
        async with asyncio.timeout(5):
            while len(w.relay.ingress.connections) > 1:
                await asyncio.sleep(0.01)
        async with raw(w, USER) as user:
            await user.send_bytes(message(USER, NODE.id).SerializeToString())
            assert (await received(node)).uid == "u1"
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


async def test_many_connections_of_few_twins_ask_the_chain_once_for_each_and_all_join() -> None:
    """After a start they all come at once, and behind a reverse proxy by one address."""
    twins = [Twin(100 + number) for number in range(64)]
    async with world() as w:
        w.chain.add(*twins)
        async with contextlib.AsyncExitStack() as stack:
            await asyncio.gather(
                *(stack.enter_async_context(raw(w, twins[number % 64], f"{number // 64}")) for number in range(320))
            )
            assert len(w.relay.sessions) == 320
        assert w.chain.asked == 64


async def test_whom_a_proxy_names_is_whom_a_limit_counts_for() -> None:
    async with world() as w, aiohttp.ClientSession() as http:
        w.relay._proxies = Proxies(["127.0.0.1"])
        w.relay._unverified = RateLimiter(SystemClock(), 0.001, 10)

        async def asks(client: str, twin: int) -> int:
            text = await token.make(twin, LOUD.key, SystemClock().time(), "")
            async with http.get(f"{w.url}/?{text}", headers={"X-Forwarded-For": client}) as answer:
                return answer.status

        loud = [await asks(f"192.0.2.{number}, 198.51.100.7", 1000 + number) for number in range(25)]
        assert loud.count(500) == 15, "what it writes before the proxy's own word counts for nothing"
        assert await asks("203.0.113.9", 2000) == 401
