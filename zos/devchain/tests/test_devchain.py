"""The devchain as its clients see it: metadata, blocks, pool, persistence, misbehaviour, nonsense from outside."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.devchain import session
from zos.devchain.errors import Invalid
from zos.devchain.genesis import ENDOWED, Genesis, author
from zos.devchain.node import Node
from zos.devchain.rpc import Methods
from zos.devchain.runtime import METADATA, parse
from zos.devchain.testing import devchain
from zos.substrate import Chain, LocalKey
from zos.substrate.rpc import Rpc
from zos.substrate.runtime import Era, Runtime

RUNTIME = Runtime(METADATA, 145, 2)
ALICE = LocalKey.of_text("//Alice")


def remark(node: Node, nonce: int, text: bytes = b"x", tip: int = 0, key: LocalKey = ALICE) -> bytes:
    call = RUNTIME.call("System", "remark", {"remark": text})
    extra = RUNTIME.unsigned_part(Era(), nonce, tip)
    payload = RUNTIME.payload(call, extra, node.genesis_hash, node.genesis_hash)
    return RUNTIME.extrinsic(call, extra, key.public, key.kind, key.signed(payload))


def free(node: Node, account: bytes) -> int:
    return int(node.typed().get("System.Account", account)["data"]["free"])


def supply(node: Node) -> int:
    """What all accounts hold."""
    prefix = RUNTIME.prefix("System", "Account")
    keys = node.state.keys(prefix, None, 10_000, node.head.number, node.head.number)
    held = (node.typed().get("System.Account", key[-32:])["data"] for key in keys)
    return sum(data["free"] + data["reserved"] for data in held)


def test_a_genesis_is_always_the_same_chain() -> None:
    assert Node(Genesis()).genesis_hash == Node(Genesis()).genesis_hash
    assert Node(Genesis(balances={"0x" + "11" * 32: 1000})).genesis_hash != Node(Genesis()).genesis_hash


def test_a_block_begins_with_its_time_and_links_to_its_parent() -> None:
    node = Node(Genesis())
    first, second = node.make_block(), node.make_block()
    assert second.parent == first.hash
    assert second.body[0][1:4] == b"\x04\x01\x00"
    assert second.hash != first.hash


def test_fees_go_to_the_author_and_nothing_is_lost() -> None:
    node = Node(Genesis())
    bob = LocalKey.of_text("//Bob")
    before = free(node, author())
    raw = remark(node, 0, key=bob)
    node.submit(raw)
    node.make_block()
    assert free(node, bob.public) == ENDOWED - 10_000 - len(raw)
    assert free(node, author()) == before + 10_000 + len(raw)
    assert supply(node) == node.typed().get("Balances.TotalIssuance")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda raw: raw[:60] + bytes([raw[60] ^ 1]) + raw[61:], "bad signature"),
        (lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), "bad signature"),
        (lambda raw: raw[:-1], "could not decode"),
        (lambda raw: raw + b"\0", "could not decode"),
        (lambda raw: b"", "could not decode"),
    ],
)
def test_what_is_not_whole_is_refused(spoil: Any, reason: str) -> None:
    node = Node(Genesis())
    with pytest.raises(Invalid) as caught:
        node.submit(spoil(remark(node, 0)))
    assert reason in str(caught.value).lower()


def test_a_used_nonce_is_stale_and_a_future_one_waits() -> None:
    node = Node(Genesis())
    statuses: list[Any] = []
    node.submit(remark(node, 1), statuses.append)
    node.make_block()
    assert statuses == ["future"]
    node.submit(remark(node, 0))
    node.make_block()
    assert any("inBlock" in one for one in statuses[1:])
    with pytest.raises(Invalid, match="outdated"):
        node.submit(remark(node, 0))


@pytest.mark.parametrize("reads", [True, False])
async def test_a_watcher_hears_of_finality_after_he_read_the_block_or_had_his_time(
    reads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PAUSE", 0.0)
    monkeypatch.setattr(session, "PATIENCE", 60.0 if reads else 0.0)
    node, final = Node(Genesis()), asyncio.Event()
    statuses: list[Any] = []

    def receive(message: dict[str, Any]) -> None:
        statuses.append(message["params"]["result"])
        if "finalized" in statuses[-1]:
            final.set()

    methods, one = Methods(node), session.Session(node, receive)
    await methods.call(one, "state_subscribeRuntimeVersion", [])
    statuses.clear()
    await methods.call(one, "author_submitAndWatchExtrinsic", ["0x" + remark(node, 0).hex()])
    node.make_block()
    node.make_block()
    if reads:
        await asyncio.sleep(0)
        assert list(statuses[-1]) == ["inBlock"]
        await methods.call(one, "state_queryStorageAt", [["0x00"], statuses[-1]["inBlock"]])
    async with asyncio.timeout(5):
        await final.wait()
    assert statuses[-1] == {"finalized": statuses[-2]["inBlock"]}
    assert not one.watches
    one.close()


def test_a_higher_tip_takes_the_place_of_a_waiting_one() -> None:
    node = Node(Genesis())
    statuses: list[Any] = []
    raw = remark(node, 0)
    node.submit(raw, statuses.append)
    with pytest.raises(Invalid) as same:
        node.submit(raw)
    assert same.value.code == 1013
    with pytest.raises(Invalid) as low:
        node.submit(remark(node, 0, b"y"))
    assert low.value.code == 1014
    node.submit(remark(node, 0, b"y", tip=1))
    assert "usurped" in statuses[-1]


def test_a_poor_account_cannot_send() -> None:
    node = Node(Genesis())
    with pytest.raises(Invalid, match="Inability to pay"):
        node.submit(remark(node, 0, key=LocalKey.of_text("//Nobody")))


def test_a_kill_loses_no_block(tmp_path: Path) -> None:
    node = Node(Genesis(), tmp_path)
    node.submit(remark(node, 0))
    blocks = [node.make_block() for _ in range(5)]
    again = Node(Genesis(), tmp_path)
    assert again.head == blocks[-1]
    assert again.finalized == 5
    assert again.typed().get("System.Account", ALICE.public)["nonce"] == 1
    assert again.read(RUNTIME.key("System", "Number"), 3) == (3).to_bytes(4, "little")
    node.close()
    again.close()


def test_a_reorganisation_takes_back_what_was_not_final() -> None:
    node = Node(Genesis())
    node.make_block()
    node.faults.unfinal = True
    node.submit(remark(node, 0))
    lost = node.make_block()
    assert node.reorganise(5) == 1
    assert node.typed().get("System.Account", ALICE.public)["nonce"] == 0
    assert node.make_block().hash != lost.hash


@given(st.binary(max_size=400))
def test_no_bytes_from_outside_get_further_than_a_refusal(raw: bytes) -> None:
    with pytest.raises(Invalid):
        parse(raw)


async def ask(url: str, body: str) -> Any:
    async with aiohttp.ClientSession() as session, session.post(url, data=body) as answer:
        return json.loads(await answer.text())


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", -32700),
        ("[]", -32600),
        ("7", -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"no_such"}', -32601),
        ('{"jsonrpc":"2.0","id":1,"method":"__init__"}', -32601),
        ('{"jsonrpc":"2.0","id":1,"method":"state_getStorage","params":[]}', -32602),
        ('{"jsonrpc":"2.0","id":1,"method":"state_getStorage","params":["zz"]}', -32602),
        ('{"jsonrpc":"2.0","id":1,"method":"state_getKeysPaged","params":["0x",1000000]}', -32602),
        ('{"jsonrpc":"2.0","id":1,"method":"author_submitExtrinsic","params":["0x00"]}', 1002),
        ('{"jsonrpc":"2.0","id":1,"method":"chain_subscribeNewHeads","params":[]}', -32601),
    ],
)
async def test_nonsense_gets_a_proper_error_and_the_chain_goes_on(body: str, code: int) -> None:
    async with devchain(0) as dev:
        answer = await ask(dev.http, body)
        assert answer["error"]["code"] == code
        good = await ask(dev.http, '{"jsonrpc":"2.0","id":1,"method":"system_chain"}')
        assert good["result"] == "Development"


async def test_what_is_listed_is_served() -> None:
    async with devchain(0) as dev, Chain([dev.url]) as chain:
        listed = (await chain.rpc("rpc_methods"))["methods"]
        assert {"chain_subscribeNewHeads", "state_queryStorageAt", "author_submitAndWatchExtrinsic"} <= set(listed)


async def test_storage_is_watched() -> None:
    async with devchain(0) as dev:
        rpc = await Rpc.open(dev.url)
        key = "0x" + RUNTIME.key("System", "Number").hex()
        async with rpc.subscribed("state_subscribeStorage", [key], end="state_unsubscribeStorage") as seen:
            async with asyncio.timeout(5):
                first = await seen.get()
                dev.node.make_block()
                second = await seen.get()
        assert first["changes"][0][1] is None
        assert second["changes"][0][1] == "0x01000000"
        await rpc.close()
