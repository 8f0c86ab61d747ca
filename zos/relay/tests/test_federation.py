"""To and from other relays, which are real servers on loopback: failures, ranking, retries until a message expires."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter

import aiohttp
import pytest
from aiohttp import web

from zos.fetch.policy import Policy
from zos.relay.federation import PASSES, PER_DESTINATION, Federation, Outcome
from zos.relay.posts import READING
from zos.relay.tests.world import FAR, NODE, USER, World, echo, message, raw, received, world
from zos.rmb import envelope as env
from zos.rmb.errors import Refused
from zos.rmb.testing import Twin, joined
from zos.rmb.wire_pb2 import Envelope
from zos.runtime.clock import FakeClock, SystemClock
from zos.substrate.keys import KeyKind

HERE = Policy(("127.0.0.1",))


@dataclass
class Other:
    """A relay that answers as it is told: one status after the other, the last one for ever; 0 is silence."""

    domain: str = ""
    says: list[int] = field(default_factory=lambda: [202])
    got: list[bytes] = field(default_factory=list)
    open: int = 0
    most: int = 0

    async def post(self, request: web.Request) -> web.Response:
        self.got.append(await request.read())
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            status = self.says.pop(0) if len(self.says) > 1 else self.says[0]
            if not status:
                await asyncio.sleep(60)
            return web.Response(status=status, headers={"Location": "/elsewhere"})
        finally:
            self.open -= 1


@asynccontextmanager
async def other(*says: int) -> AsyncIterator[Other]:
    played = Other(says=list(says) or [202])
    app = web.Application()
    app.router.add_post("/{any:.*}", played.post)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        played.domain = f"127.0.0.1:{runner.addresses[0][1]}"
        yield played
    finally:
        await runner.cleanup()


def federation(deadline: float = 1.0) -> Federation:
    return Federation(SystemClock(), HERE, "http", again=0.02, deadline=deadline)


async def test_a_message_is_posted_as_it_came() -> None:
    async with other() as there, federation() as away:
        assert await away.send([there.domain], b"frame", 5) is Outcome.TAKEN
        assert there.got == [b"frame"]
        assert away.counts["success"] == {there.domain: 1}


async def test_a_relay_that_fails_for_a_while_gets_the_message_when_it_is_back() -> None:
    async with other(*[503] * (2 * PASSES + 1), 202) as there, federation() as away:
        assert await away.send([there.domain], b"frame", 20) is Outcome.TAKEN
        assert len(there.got) == 2 * PASSES + 2
        assert not away.counts["error"]


async def test_a_message_is_given_up_when_it_has_expired() -> None:
    async with other(500) as there, federation() as away:
        began = perf_counter()
        assert await away.send([there.domain], b"frame", 0.5) is Outcome.EXPIRED
        assert 0.4 < perf_counter() - began < 10
        assert away.counts["error"] == {there.domain: 1}


async def test_what_a_relay_refuses_is_final() -> None:
    async with other(404) as there, other() as second, federation() as away:
        away._failed(second.domain)
        assert await away.send([there.domain, second.domain], b"frame", 5) is Outcome.REFUSED
        assert (len(there.got), second.got) == (1, [])


async def test_a_relay_does_not_send_us_elsewhere() -> None:
    async with other(307) as there, federation() as away:
        assert await away.send([there.domain], b"frame", 0.3) is Outcome.EXPIRED
        assert await away.send(["a.b/c@d", "", "x y"], b"frame", 5) is Outcome.REFUSED, "these are no domains"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433"])
async def test_a_twin_cannot_make_us_post_inwards(host: str) -> None:
    """Whoever has a twin writes the names of its relays."""
    async with other() as there, Federation(SystemClock(), Policy(), "http", again=0.02) as away:
        assert await away.send([f"{host}:{there.domain.partition(':')[2]}"], b"frame", 0.3) is Outcome.EXPIRED
        assert not there.got


async def test_the_relay_with_the_fewest_failures_is_asked_first_and_forgiven_in_an_hour() -> None:
    clock = FakeClock()
    async with other() as good, other(500) as bad, Federation(clock, HERE, "http") as away:
        both = [bad.domain, good.domain]
        away._failed(good.domain)
        assert away.ranked(both)[0] == bad.domain
        assert await away.send(both, b"one", 5) is Outcome.TAKEN
        away._failed(bad.domain)
        assert away.ranked(both)[0] == good.domain
        assert await away.send(both, b"two", 5) is Outcome.TAKEN
        assert (bad.got, good.got) == ([b"one"], [b"one", b"two"])
        clock.advance(3601)
        assert away.ranked(both) == sorted(both)


async def test_a_relay_that_hangs_holds_up_only_its_own_messages() -> None:
    async with other(0) as hung, other() as good, federation(deadline=2.0) as away:
        stuck = [asyncio.create_task(away.send([hung.domain], b"stuck", 3)) for _ in range(50)]
        async with asyncio.timeout(5):
            while hung.open < PER_DESTINATION:
                await asyncio.sleep(0.01)
        assert await away.send([good.domain], b"frame", 5) is Outcome.TAKEN
        assert not any(task.done() for task in stuck), "it waited for those that hang"
        assert hung.most == PER_DESTINATION
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
    assert not away._destinations, "who waits no more is forgotten"


async def test_two_relays_carry_a_request_and_its_answer() -> None:
    async with world() as one, world() as two, federation() as away:
        near, far = one.url.removeprefix("http://"), two.url.removeprefix("http://")
        for w, domain in ((one, near), (two, far)):
            w.relay._domain = domain
            w.relay._away = away
            w.chain.add(Twin(1, relay=near), Twin(3, KeyKind.ED25519, relay=far))
        async with joined(NODE, two.chain, two.ws, handler=echo), joined(USER, one.chain, one.ws) as me:
            assert await me.call(3, "x", b"1") == b'{"from": 1, "body": 1}'


async def test_the_sender_is_told_when_a_message_expired_on_its_way() -> None:
    async with world() as w, federation() as away, other(500) as there:
        w.relay._away = away
        w.chain.add(Twin(4, relay=there.domain))
        async with joined(USER, w.chain, w.ws) as me:
            with pytest.raises(Refused, match="message has expired"):
                await me.call(4, "x", deadline=1.4)  # its expiration is rounded to a second


# From other relays


@asynccontextmanager
async def posting(w: World) -> AsyncIterator[Callable[[bytes], Awaitable[int]]]:
    async with aiohttp.ClientSession() as http:

        async def post(data: bytes) -> int:
            async with http.post(f"{w.url}/", data=io.BytesIO(data)) as answer:
                return answer.status

        yield post


async def signed(made: Envelope, twin: Twin = USER) -> bytes:
    return (await env.signed(made, twin.key)).SerializeToString()


async def test_other_relays_post_envelopes_for_our_twins() -> None:
    async with world() as w, raw(w, NODE) as node, posting(w) as post:
        assert await post(await signed(message(USER, 3))) == 202
        assert (await received(node)).uid == "u1"
        assert await post(await signed(message(USER, 99))) == 404
        assert await post(await signed(message(USER, 4))) == 404, "not one of its relays"
        assert await post(b"\xff\xff\xff") == 400
        assert await post(bytes(env.LARGEST + 1)) == 400


async def test_nobody_posts_in_anothers_name_or_late_or_as_a_relay() -> None:
    async with world() as w, posting(w) as post:
        assert await post(message(USER, 3).SerializeToString()) == 400, "not signed"
        assert await post(await signed(message(USER, 3), FAR)) == 400, "by another"
        assert await post(await signed(message(Twin(98), 3), Twin(98))) == 400, "not on the chain"
        late = message(USER, 3)
        late.timestamp -= 60
        assert await post(await signed(late)) == 400
        error = env.relay_error(message(NODE, 1), "destination offline", SystemClock().time())
        assert await post(error.SerializeToString()) == 400, "a relay's word is for its own twins"
        assert w.relay.sessions.waiting == 0


async def test_a_captured_message_does_not_fill_a_queue() -> None:
    async with world() as w, posting(w) as post:
        made = message(USER, 3)
        frame = await signed(made)
        assert [await post(frame) for _ in range(5)] == [202] * 5
        assert w.relay.counts["repeated"] == 4
        # The same signature under another name.
        made.uid, made.tags = "u", "1"
        assert await post(made.SerializeToString()) == 202
        assert w.relay.counts["repeated"] == 5
        async with raw(w, NODE) as node:
            assert (await received(node)).uid == "u1"
            assert w.relay.sessions.waiting == 0


async def test_a_full_queue_is_said_so_that_it_is_tried_again() -> None:
    async with world() as w, posting(w) as post:
        while w.relay.sessions.put((3, ""), 1, bytes(200_000), 100):
            pass
        large = message(USER, 3)
        large.plain = bytes(200_000)
        assert await post(await signed(large)) == 503
        other = message(FAR, 3)
        other.plain = bytes(200_000)
        assert await post(await signed(other, FAR)) == 202


async def test_who_posts_slowly_does_not_keep_others_out() -> None:
    """Half of the places are the most that one address gets; the rest is told to come again."""
    async with world() as w, raw(w, NODE):
        host, _, port = w.url.removeprefix("http://").partition(":")
        slow = [await asyncio.open_connection(host, int(port)) for _ in range(READING // 2 + 5)]
        for _, writer in slow:
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nbeginning")
        refused = 0
        for reader, _ in slow:
            try:
                async with asyncio.timeout(0.05):
                    refused += b"503" in await reader.readline()
            except TimeoutError:
                pass
        assert refused == 5
        assert w.relay._posts.reading == READING // 2
        for _, writer in slow:
            writer.close()


async def test_slow_posts_of_many_networks_make_way_for_whose_bytes_come() -> None:
    async with world() as w, raw(w, NODE):
        host, _, port = w.url.removeprefix("http://").partition(":")
        begun = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx"
        slow = []
        for number in range(READING):
            reader, writer = await asyncio.open_connection(host, int(port), local_addr=(f"127.0.1.{number + 1}", 0))
            writer.write(begun)
            slow.append((reader, writer))
        async with asyncio.timeout(5):
            while w.relay._posts.reading < READING:
                await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(host, int(port), local_addr=("127.0.2.1", 0))
        writer.write(begun)
        assert b"503" in await asyncio.wait_for(slow[0][0].readline(), 5), "the longest silent goes"
        writer.write(bytes(99))
        assert b"400" in await asyncio.wait_for(reader.readline(), 5), "the honest one is read"
        for _, one in (*slow, (reader, writer)):
            one.close()
