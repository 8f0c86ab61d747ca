"""A twin's end of the bus: what it answers, what it refuses, and that no relay and no twin can harm it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from zos.rmb import envelope as env
from zos.rmb.cipher import seal
from zos.rmb.errors import NoAnswer, NoRelay, Refused, UnknownTwin
from zos.rmb.limits import RateLimiter
from zos.rmb.peer import PER_TWIN, Peer
from zos.rmb.testing import Chain, Twin, joined
from zos.rmb.tests.played import NODE, PLAIN, USER, Change, Line, asked, handler, line, node, opened
from zos.rmb.twins import TwinCache
from zos.rmb.wire_pb2 import Address, Envelope
from zos.runtime.clock import SystemClock


async def test_an_encrypted_request_is_answered_encrypted_to_the_session_that_asked() -> None:
    async with node() as (relay, _):
        await relay.send((await asked()).SerializeToString())
        seen = await relay.received()
        assert seen.WhichOneof("payload") == "cipher"
        assert await opened(seen) == b'["1","do",1]'


async def test_a_twin_without_a_key_is_answered_in_plain() -> None:
    async with node() as (relay, _):
        await relay.send((await asked(PLAIN)).SerializeToString())
        seen = await relay.received()
        assert (seen.WhichOneof("payload"), await opened(seen, PLAIN)) == ("plain", b'["6","do",1]')


async def test_an_empty_plain_body_of_a_twin_with_a_key_is_no_argument() -> None:
    def emptied(made: Envelope) -> None:
        made.plain = b""

    async with node() as (relay, _):
        await relay.send((await asked(change=emptied)).SerializeToString())
        assert await opened(await relay.received()) == b'["1","do","empty"]'


async def test_an_answer_is_never_empty() -> None:
    async with node() as (relay, _):
        await relay.send((await asked(command="nothing")).SerializeToString())
        assert await opened(await relay.received()) == b"null"


def late(made: Envelope) -> None:
    made.timestamp -= 100


def other_schema(made: Envelope) -> None:
    made.schema = "text/plain"


def no_schema(made: Envelope) -> None:
    made.ClearField("schema")


def torn(made: Envelope) -> None:
    made.cipher = made.cipher[:-1]


@pytest.mark.parametrize(
    ("change", "command", "code", "text"),
    [
        (late, "do", 102, "expired"),
        (other_schema, "do", 101, "application/json"),
        (torn, "do", 106, "decrypted"),
        (None, "refuse", 255, "no such deployment"),
    ],
)
async def test_what_is_refused_is_said_with_its_code(change: Change | None, command: str, code: int, text: str) -> None:
    async with node() as (relay, _):
        await relay.send((await asked(command=command, change=change)).SerializeToString())
        seen = await relay.received()
        env.check_signature(seen, NODE.record)
        assert (seen.error.code, text in seen.error.message) == (code, True)


async def test_a_message_without_a_schema_is_json() -> None:
    async with node() as (relay, _):
        await relay.send((await asked(change=no_schema)).SerializeToString())
        assert await opened(await relay.received()) == b'["1","do",1]'


async def test_a_wrong_signature_and_an_unknown_twin_are_told() -> None:
    async with node() as (relay, _):
        made = await asked()
        made.request.command = "other"
        await relay.send(made.SerializeToString())
        seen = await relay.received()
        assert (seen.error.code, "invalid signature" in seen.error.message) == (104, True)
        await relay.send((await asked(Twin(77))).SerializeToString())
        assert (await relay.received()).error.code == 103


async def test_an_encrypted_message_of_a_twin_without_a_key_is_refused() -> None:
    def sealed(made: Envelope) -> None:
        made.cipher = bytes(40)

    async with node() as (relay, _):
        await relay.send((await asked(PLAIN, change=sealed)).SerializeToString())
        assert (await relay.received()).error.code == 105


async def test_a_replayed_message_is_dealt_with_once() -> None:
    async with node() as (relay, peer):
        frame = (await asked(uid="first")).SerializeToString()
        await relay.send(frame)
        assert (await relay.received()).uid == "first"
        await relay.send(frame)
        await relay.send((await asked(uid="second")).SerializeToString())
        assert (await relay.received()).uid == "second"
        assert peer.dropped == 1


async def test_what_is_not_for_us_or_no_envelope_is_dropped() -> None:
    def elsewhere(made: Envelope) -> None:
        made.destination.twin = 99

    async with node() as (relay, peer):
        await relay.send((await asked(change=elsewhere)).SerializeToString())
        await relay.send(b"\xff\xff")
        await relay.send("text")
        await relay.send((await asked(uid="good")).SerializeToString())
        assert (await relay.received()).uid == "good"
        assert peer.dropped == 2


async def test_a_flood_of_one_twin_is_dropped_and_another_is_served() -> None:
    async with node(rate=RateLimiter(SystemClock(), rate=1.0, burst=20.0)) as (relay, peer):
        frame = (await asked(PLAIN)).SerializeToString()
        socket = await relay.socket()
        for number in range(10_000):
            await socket.send(frame)
            if number == 5_000:
                await socket.send((await asked(uid="polite")).SerializeToString())
        async with asyncio.timeout(20):
            while (await relay.received()).uid != "polite":
                pass
            while peer.dropped < 9_000:
                await asyncio.sleep(0.01)
        assert peer.dropped <= 10_000


async def test_a_message_on_which_we_stumble_does_not_cut_us_off(caplog: pytest.LogCaptureFixture) -> None:
    class Stumbles(RateLimiter[int]):
        def has(self, key: int) -> bool:
            if key == PLAIN.id:
                raise KeyError(key)
            return super().has(key)

    async with node(rate=Stumbles(SystemClock())) as (relay, peer):
        # Twice: the first one is looked up in a task of its own, the second one is dealt with on the line.
        for uid in ("one", "two"):
            await relay.send((await asked(PLAIN, uid=uid)).SerializeToString())
            await relay.send((await asked(uid=uid)).SerializeToString())
            assert (await relay.received()).uid == uid
        assert peer.dropped == 1
    assert "KeyError" in caplog.text


async def test_what_a_twin_asks_all_at_once_is_all_answered_in_turns_and_another_does_not_wait_for_it() -> None:
    """A client's batch of deployments, each with its own deadline and none asked twice."""
    free = asyncio.Event()
    open = most = 0

    async def slow(twin: int, command: str, body: bytes) -> bytes:
        nonlocal open, most
        if twin == USER.id:
            open += 1
            most = max(most, open)
            await free.wait()
            open -= 1
        return body

    chain = Chain()
    chain.add(USER, NODE, PLAIN)
    async with line() as relay, joined(NODE, chain, relay.url, handler=slow):
        for number in range(100):
            await relay.send((await asked(uid=f"batch {number}")).SerializeToString())
        await relay.send((await asked(PLAIN, uid="other")).SerializeToString())
        assert (await relay.received()).uid == "other"
        free.set()
        answers = [await relay.received() for _ in range(100)]
    assert {seen.uid for seen in answers} == {f"batch {number}" for number in range(100)}
    assert {seen.WhichOneof("message") for seen in answers} == {"response"}
    assert most == PER_TWIN


async def test_a_relay_that_dies_is_joined_again() -> None:
    async with node() as (relay, _):
        await (await relay.socket()).close()
        await relay.again()
        await relay.send((await asked()).SerializeToString())
        assert await opened(await relay.received()) == b'["1","do",1]'


async def test_a_relay_that_lies_floods_or_sends_too_much_harms_nobody() -> None:
    chain = Chain()
    chain.add(USER, NODE)
    async with line() as bad, line() as good, joined(NODE, chain, bad.url, good.url, handler=handler):
        socket = await bad.socket()
        await socket.send(b"\x00" * 1000)
        for number in range(300):
            # Answers that nobody asked for, and requests in the names of twins that do not exist.
            await socket.send(Envelope(uid=str(number), source=Address(twin=9), plain=b"1").SerializeToString())
        large = await asked()
        large.uid, large.plain = "large", bytes(env.LARGEST + 1)
        await socket.send(large.SerializeToString())
        await socket.send(bytes(env.LARGEST + 1))
        await bad.send((await asked()).SerializeToString())
        assert await opened(await bad.received()) == b'["1","do",1]', "one message is dropped, the connection stays"
        with contextlib.suppress(Exception):
            await socket.send(bytes(env.FRAME + 1))
        again = await asked()
        again.uid = "again"
        await good.send((await env.signed(again, USER.key)).SerializeToString())
        assert await opened(await good.received()) == b'["1","do",1]'


async def test_an_answer_of_many_megabytes_reaches_who_asked() -> None:
    chain = Chain()
    chain.add(USER, NODE)
    async with line() as relay, joined(USER, chain, relay.url) as me:
        call = asyncio.create_task(me.call(3, "x"))
        made = env.answer(await relay.received(), Address(twin=3), SystemClock().time())
        made.response.SetInParent()
        made.cipher = seal(await NODE.secret.shared(USER.secret.public), b"1" * 9_000_000)
        await relay.send((await env.signed(made, NODE.key)).SerializeToString())
        assert len(await call) == 9_000_000


async def answering(relay: Line, make: Callable[[Envelope], Awaitable[Envelope]]) -> None:
    seen = await relay.received()
    await relay.send((await make(seen)).SerializeToString())


async def test_a_forged_answer_is_not_believed_and_the_true_one_is() -> None:
    chain = Chain()
    chain.add(USER, NODE)

    async def forged(seen: Envelope) -> Envelope:
        made = env.answer(seen, Address(twin=3), SystemClock().time())
        made.response.SetInParent()
        made.plain = b'"forged"'
        return await env.signed(made, USER.key)

    async def true(seen: Envelope) -> Envelope:
        made = env.answer(seen, Address(twin=3), SystemClock().time())
        made.response.SetInParent()
        made.cipher = seal(await NODE.secret.shared(USER.secret.public), b'"true"')
        return await env.signed(made, NODE.key)

    async with line() as relay, joined(USER, chain, relay.url) as me:
        call = asyncio.create_task(me.call(3, "x"))
        seen = await relay.received()
        assert seen.WhichOneof("payload") == "cipher"
        for make in (forged, true):
            await relay.send((await make(seen)).SerializeToString())
        assert await call == b'"true"'


async def test_silence_absence_and_refusal_are_different_errors() -> None:
    chain = Chain()
    chain.add(USER, NODE)

    async def refused(seen: Envelope) -> Envelope:
        made = env.answer(seen, Address(twin=3), SystemClock().time())
        made.error.code, made.error.message = 255, "not today"
        return await env.signed(made, NODE.key)

    async with line() as relay, joined(USER, chain, relay.url) as me:
        with pytest.raises(NoAnswer):
            await me.call(3, "x", deadline=0.05)
        await relay.received()
        with pytest.raises(UnknownTwin):
            await me.call(50, "x")
        call = asyncio.create_task(me.call(3, "x"))
        await answering(relay, refused)
        with pytest.raises(Refused, match="not today"):
            await call

    async def twin() -> int:
        return 1

    alone = Peer(twin, USER.key, USER.secret, TwinCache(chain.twin, SystemClock()), [])
    with pytest.raises(NoRelay):
        await alone.call(3, "x")
