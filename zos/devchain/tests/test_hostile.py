"""The devchain among hostile clients: bytes, calls, requests and readers of every bad kind; the chain goes on."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zos.devchain import legacy, server
from zos.devchain import pool as pool_module
from zos.devchain.errors import Invalid
from zos.devchain.genesis import ENDOWED, Genesis
from zos.devchain.node import Node
from zos.devchain.rpc import NAMES, Methods
from zos.devchain.runtime import MODERN, parse
from zos.devchain.server import Outgoing
from zos.devchain.session import Session
from zos.devchain.testing import Devchain, devchain
from zos.runtime.quota import FairQuota
from zos.scale.reader import compact
from zos.substrate import KeyKind, LocalKey
from zos.substrate.errors import RpcFailed
from zos.substrate.rpc import Rpc
from zos.substrate.runtime import Era, Runtime

ALICE, BOB = LocalKey.of_text("//Alice"), LocalKey.of_text("//Bob")
CAROL = LocalKey.of_text("//Charlie", KeyKind.ED25519)
RUNTIMES = {
    name: Runtime((one := legacy.generation(name)).metadata, one.spec, one.transaction) for name in legacy.NAMES
}
NODES = {name: Node(Genesis(), generation=legacy.generation(name)) for name in legacy.NAMES}
ODD = "dev_newBlock", "dev_advance", "dev_misbehave", "dev_reorganise"
"""They do as they are told, for as long as they are told."""

numbers = st.integers(-(2**70), 2**140)
hexes = st.binary(max_size=40).map(lambda raw: "0x" + raw.hex())
json_values = st.recursive(
    st.none()
    | st.booleans()
    | numbers
    | st.floats()
    | st.text(max_size=8)
    | st.just("0x")
    | st.binary(max_size=40).map(lambda raw: "0x" + raw.hex()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def signed(node: Node, call: bytes, nonce: int, key: LocalKey = ALICE, tip: int = 0, era: Era | None = None) -> bytes:
    runtime = RUNTIMES[node.generation.name]
    extra = runtime.unsigned_part(era or Era(), nonce, tip)
    payload = runtime.payload(call, extra, node.genesis_hash, node.genesis_hash)
    return runtime.extrinsic(call, extra, key.public, key.kind, key.signed(payload))


def batch(calls: list[bytes]) -> bytes:
    """`Utility.batch_all` of encoded calls."""
    return b"\x03\x02" + compact(len(calls)) + b"".join(calls)


def remark(node: Node, text: bytes = b"x") -> bytes:
    return RUNTIMES[node.generation.name].call("System", "remark", {"remark": text})


def outcome(node: Node, raw: bytes) -> str:
    """Success, or the error of the call that is alone in its block."""
    node.submit(raw)
    block = node.make_block()
    runtime = RUNTIMES[node.generation.name]
    events = runtime.events(node.read(runtime.key("System", "Events"), block.number))
    (end,) = [one for one in events if one.extrinsic == 1 and one.name in ("ExtrinsicSuccess", "ExtrinsicFailed")]
    return "Success" if end.name == "ExtrinsicSuccess" else ".".join(runtime.error(end.fields["dispatch_error"]))


# Bytes


@pytest.mark.parametrize("generation", legacy.NAMES)
@given(data=st.data())
def test_a_spoilt_extrinsic_is_refused_and_never_breaks_the_decoder(generation: str, data: st.DataObject) -> None:
    node = NODES[generation]
    whole = signed(node, remark(node, b"some text"), 0)
    raw = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.sampled_from(("flip", "drop", "double"))):
            case "flip":
                raw[at] ^= data.draw(st.integers(1, 255))
            case "drop":
                del raw[at]
            case "double":
                raw.insert(at, raw[at])
    if bytes(raw) != whole:
        with pytest.raises(Invalid):
            node.submit(bytes(raw))
    assert not len(node.pool)


@given(st.binary(max_size=600), st.sampled_from(legacy.NAMES))
def test_any_bytes_as_a_call_are_refused_before_they_are_signed_for(tail: bytes, generation: str) -> None:
    node = NODES[generation]
    try:
        parse(signed(node, tail, 0), node.generation)
    except Invalid:
        return


@given(st.integers(0, 400))
def test_calls_in_calls_end_somewhere(depth: int) -> None:
    node = NODES["spec145"]
    call = remark(node)
    for _ in range(depth):
        call = batch([call])
    try:
        parse(signed(node, call, 0))
    except Invalid as err:
        assert depth > 10, err
    else:
        assert depth < 20


@pytest.mark.parametrize("claim", [b"\x03\xff\xff\xff\xff", b"\xfe\xff\xff\xff", b"\x13" + b"\xff" * 8])
def test_a_list_that_claims_to_be_huge_costs_nothing(claim: bytes) -> None:
    batch = bytes([MODERN.stored["Utility"].index, 0]) + claim
    with pytest.raises(Invalid):
        parse(signed(NODES["spec145"], batch, 0))


# Signatures, nonces, amounts


@pytest.mark.parametrize("generation", legacy.NAMES)
def test_a_signature_of_somebody_else_or_for_elsewhere_is_refused(generation: str) -> None:
    node, runtime = NODES[generation], RUNTIMES[generation]
    call, extra = remark(node), runtime.unsigned_part(Era(), 0)
    right = runtime.payload(call, extra, node.genesis_hash, node.genesis_hash)
    elsewhere = runtime.payload(call, extra, b"\1" * 32, b"\1" * 32)
    other = Runtime(node.generation.metadata, runtime.spec + 1, runtime.transaction)
    upgraded = other.payload(call, extra, node.genesis_hash, node.genesis_hash)
    for account, kind, signature in (
        (BOB.public, ALICE.kind, ALICE.signed(right)),
        (ALICE.public, KeyKind.ED25519, ALICE.signed(right)),
        (ALICE.public, ALICE.kind, ALICE.signed(elsewhere)),
        (ALICE.public, ALICE.kind, ALICE.signed(upgraded)),
        (ALICE.public, ALICE.kind, bytes(64)),
    ):
        with pytest.raises(Invalid, match="bad signature"):
            node.submit(runtime.extrinsic(call, extra, account, kind, signature))


def test_a_nonce_or_tip_that_its_type_cannot_hold_is_refused() -> None:
    node = NODES["spec145"]
    for raw in (signed(node, remark(node), 2**32), signed(node, remark(node), 0, tip=2**128)):
        with pytest.raises(Invalid, match="ould not decode"):
            node.submit(raw)


def test_futures_of_one_account_fill_no_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "PER_ACCOUNT", 3)
    node = Node(Genesis())
    for nonce in (5, 6, 7):
        node.submit(signed(node, remark(node), nonce))
    with pytest.raises(Invalid, match="pool because of the limit"):
        node.submit(signed(node, remark(node), 8))
    node.submit(signed(node, remark(node), 0, key=BOB))
    node.make_block()
    assert int(node.typed().get("System.Account", BOB.public)["nonce"]) == 1


def test_large_extrinsics_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "MOST_BYTES", 10_000)
    node = Node(Genesis())
    node.submit(signed(node, remark(node, bytes(9_000)), 0))
    with pytest.raises(Invalid, match="pool because of the limit"):
        node.submit(signed(node, remark(node, bytes(9_000)), 1))
    node.make_block()
    node.submit(signed(node, remark(node, bytes(9_000)), 1))
    node.make_block()
    assert not len(node.pool)


@pytest.mark.parametrize("generation", legacy.NAMES)
@pytest.mark.parametrize("amount", [2**128 - 1, 2**127, ENDOWED + 1])
def test_an_amount_beyond_all_money_fails_and_nothing_moves(generation: str, amount: int) -> None:
    node = Node(Genesis(), generation=legacy.generation(generation))
    before = int(node.typed().get("Balances.TotalIssuance"))
    arguments = {"dest": {"Id": BOB.public}, "value": amount}
    call = RUNTIMES[generation].call("Balances", "transfer_keep_alive", arguments)
    assert outcome(node, signed(node, call, 0)) in ("Token.FundsUnavailable", "Balances.InsufficientBalance")
    assert int(node.typed().get("Balances.TotalIssuance")) == before
    assert int(node.typed().get("System.Account", BOB.public)["data"]["free"]) == ENDOWED


def test_an_amount_that_no_balance_can_hold_is_not_even_decoded() -> None:
    call = RUNTIMES["spec145"].call("Balances", "transfer_keep_alive", {"dest": {"Id": BOB.public}, "value": 0})
    too_much = bytes([(17 - 4) << 2 | 3]) + b"\xff" * 17
    with pytest.raises(Invalid, match="ould not decode"):
        parse(signed(NODES["spec145"], call[:-1] + too_much, 0))


def test_a_call_that_breaks_the_runtime_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from zos.devchain.pallets.system import System

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(System, "remark", broken)
    node = Node(Genesis())
    assert outcome(node, signed(node, remark(node), 0)) == "runtime.Other"
    monkeypatch.undo()
    assert outcome(node, signed(node, remark(node), 1)) == "Success"


# Requests


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(method=st.sampled_from(sorted(NAMES - set(ODD))), params=st.lists(json_values, max_size=4))
async def test_no_parameters_break_a_method(method: str, params: list[Any]) -> None:
    node = NODES["spec145"]
    session = Session(node, lambda message: None)
    try:
        await Methods(node).call(session, method, params)
    except Invalid as err:
        assert err.code != -32603
    finally:
        session.close()
    node.make_block()


@given(message=json_values)
async def test_no_json_is_answered_with_less_than_json_rpc(message: Any) -> None:
    front = server.Server(NODES["spec145"])
    answer = await front.answer(None, json.dumps(message))
    assert answer is not None
    for one in [told] if isinstance(told := json.loads(answer), dict) else told:
        assert one["jsonrpc"] == "2.0"
        assert one["error"]["code"] in (-32600, -32700)


async def ask(dev: Devchain, data: Any) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(dev.http, data=data) as answer:
        return answer.status, await answer.text()


async def alive(dev: Devchain) -> bool:
    _, text = await ask(dev, '{"jsonrpc":"2.0","id":1,"method":"system_chain","params":[]}')
    return bool(json.loads(text)["result"] == "Development")


async def test_a_request_that_is_too_large_is_refused() -> None:
    async with devchain(0) as dev:
        status, _ = await ask(dev, io.BytesIO(b"x" * (server.LARGEST + 1)))
        assert status == 413
        assert await alive(dev)


async def test_a_frame_that_is_too_large_ends_its_connection_only() -> None:
    async with devchain(0) as dev, aiohttp.ClientSession() as session:
        socket = await session.ws_connect(dev.url)
        with contextlib.suppress(ConnectionError):
            await socket.send_str("x" * (server.LARGEST + 1))
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(20):
                while not socket.closed:
                    await socket.receive()
        await socket.close()
        assert await alive(dev)


async def test_a_deep_or_broken_text_is_a_parse_error() -> None:
    async with devchain(0) as dev:
        for text in ("[" * 100_000, '{"a":' * 50_000, "\x00", "nul", '{"id":1'):
            _, answer = await ask(dev, text)
            assert json.loads(answer)["error"]["code"] == -32700
        assert await alive(dev)


async def test_a_batch_is_answered_one_by_one_and_has_an_end() -> None:
    async with devchain(0) as dev:
        good = {"jsonrpc": "2.0", "id": 1, "method": "system_chain", "params": []}
        bad = {"jsonrpc": "2.0", "id": "b", "method": "no_such", "params": []}
        _, text = await ask(dev, json.dumps([good, 7, bad]))
        answers = json.loads(text)
        assert [one.get("result") or one["error"]["code"] for one in answers] == ["Development", -32600, -32601]
        _, text = await ask(dev, json.dumps([good] * (server.BATCH + 1)))
        assert json.loads(text)["error"]["code"] == -32600


async def test_subscriptions_of_one_connection_have_an_end() -> None:
    async with devchain(0) as dev:
        rpc = await Rpc.open(dev.url)
        refused = 0
        for _ in range(300):
            try:
                await rpc.call("chain_subscribeNewHeads")
            except RpcFailed as err:
                refused += 1
                assert "more than 256 subscriptions" in str(err)
        assert refused == 300 - 256
        await rpc.close()
        dev.node.make_block()
        assert not dev.node._listeners


# Readers who do not read


def test_what_waits_for_a_client_is_bounded_in_number_and_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HELD", 1000)
    outgoing = Outgoing(FairQuota(2000, 2000))
    for _ in range(10):
        outgoing.offer("x" * 100)
    assert not outgoing.full.is_set()
    outgoing.offer("x")
    assert outgoing.full.is_set()


async def test_who_subscribes_and_never_reads_is_let_go_and_others_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BACKLOG", 50)
    async with devchain(0) as dev:
        port = int(dev.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: chain\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert b"101" in await reader.readline()
        # Many subscriptions, none of which is ever read; unmasked frames would be refused.
        for number in range(20):
            writer.write(masked(json.dumps({"jsonrpc": "2.0", "id": number, "method": "chain_subscribeNewHeads"})))
        await writer.drain()
        async with asyncio.timeout(30):
            while len(dev.node._listeners) < 20:
                await asyncio.sleep(0.005)
            while dev.node._listeners:
                # More than fits, before the writer has a turn.
                for _ in range(5):
                    dev.node.make_block()
                await asyncio.sleep(0.005)
        assert await alive(dev)
        writer.transport.abort()


def masked(text: str) -> bytes:
    """A text frame with a mask of zeros."""
    raw = text.encode()
    assert len(raw) < 126
    return bytes([0x81, 0x80 | len(raw)]) + bytes(4) + raw
