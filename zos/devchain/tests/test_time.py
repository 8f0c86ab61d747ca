"""Virtual time: skipped blocks are real blocks, months pass quickly, restarts and readers notice nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zos.devchain import block, legacy, skip
from zos.devchain.context import Context
from zos.devchain.errors import Invalid
from zos.devchain.genesis import Genesis, developer
from zos.devchain.node import Node
from zos.devchain.rpc import Methods
from zos.devchain.runtime import BY_NAME, Runtime, Variant
from zos.devchain.state import Overlay
from zos.devchain.store import OldChain, Store
from zos.devchain.tests.test_devchain import RUNTIME, remark, supply
from zos.scale.reader import compact
from zos.substrate import LocalKey
from zos.substrate.runtime import Era

NOW = 1_800_000_000_000
DAY = 86_400
ALICE = LocalKey.of_text("//Alice")


def advance(node: Node, seconds: float, *, heartbeats: bool = False) -> None:
    for _ in node.advance(seconds, heartbeats=heartbeats):
        pass


def sign(node: Node, nonce: int, pallet: str, call: str, /, key: LocalKey = ALICE, **arguments: object) -> None:
    raw = RUNTIME.call(pallet, call, arguments)
    extra = RUNTIME.unsigned_part(Era(), nonce)
    payload = RUNTIME.payload(raw, extra, node.genesis_hash, node.genesis_hash)
    node.submit(RUNTIME.extrinsic(raw, extra, key.public, key.kind, key.signed(payload)))


@pytest.mark.parametrize("before", [1, 2398, 2405])
def test_skipped_blocks_are_those_that_would_have_been_made(before: int) -> None:
    slow, quick = Node(Genesis()), Node(Genesis())
    for node in (slow, quick):
        for number in range(before):
            node.make_block(NOW + number)
    head, count = quick.head, 60
    rows = list(skip.quiet(head, count, 6000))
    changes = skip.changes(head, rows)
    for number, hash, root, now in rows:
        made = slow.make_block(now)
        assert (made.number, made.hash, made.state_root) == (number, hash, root)
    quick.state.forget(changes)
    assert skip.last(head, rows) == slow.head
    prefix = BY_NAME["System"].key("BlockHash")
    assert quick.state.all_keys(prefix) == slow.state.all_keys(prefix)
    for key in (*slow.state.all_keys(prefix), skip.NOW, skip.NUMBER, skip.PARENT, skip.EVENTS, skip.COUNT):
        assert quick.state.get(key) == slow.state.get(key)


def test_a_month_is_as_many_blocks_as_six_seconds_fit_in() -> None:
    node = Node(Genesis())
    start = node.make_block()
    advance(node, 3 * DAY)
    assert node.head.number == start.number + 1 + 3 * DAY // 6
    assert abs(node.head.now - start.now - 3 * DAY * 1000) < 5000
    assert node.finalized == node.head.number
    assert node.blocks.number_of(node.blocks[20_000].hash) == 20_000


def test_contracts_are_billed_while_time_is_skipped() -> None:
    node = Node(Genesis())
    node.make_block()
    sign(node, 0, "TfgridModule", "user_accept_tc", document_link=b"l", document_hash=b"h")
    sign(node, 1, "TfgridModule", "create_twin", relay=None, pk=None)
    sign(node, 2, "SmartContractModule", "create_name_contract", name=b"name")
    node.make_block()
    advance(node, DAY)
    lock = node.typed().get("SmartContractModule.ContractLock", 1)
    # 24 bills: what they locked was shared out with the last.
    assert lock["cycles"] in (0, 23)
    advance(node, 2 * 3600)
    lock = node.typed().get("SmartContractModule.ContractLock", 1)
    # Two bills, the first a few seconds short of an hour.
    assert 39_900 <= lock["amount_locked"] <= 40_000


@pytest.mark.parametrize("variant", Variant)
def test_what_is_issued_is_held_after_every_block(variant: Variant) -> None:
    node = Node(Genesis(billing=variant, billing_frequency=10))
    poor = LocalKey.of_text("//Poor")
    node.gift(poor.public, 5_000_000)
    node.make_block(NOW)
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("TfgridModule", "user_accept_tc", {"document_link": b"l", "document_hash": b"h"}),
        ("TfgridModule", "create_twin", {"relay": None, "pk": None}),
        ("SmartContractModule", "create_name_contract", {"name": b"first"}),
        ("SmartContractModule", "create_name_contract", {"name": b"second"}),
    ]
    for nonce, (pallet, call, arguments) in enumerate(asked):
        sign(node, nonce, pallet, call, key=poor, **arguments)
    for number in range(400):
        node.make_block(node.head.now + 360_000)
        if number == 300:
            sign(node, 4, "SmartContractModule", "cancel_contract", key=poor, contract_id=1)
        assert supply(node) == node.typed().get("Balances.TotalIssuance")
    data = node.typed().get("System.Account", poor.public)["data"]
    assert data["free"] < 5_000_000 - 40_000 - 500_000
    assert node.typed().get("SmartContractModule.Contracts", 1) is None


@pytest.mark.parametrize("name", legacy.NAMES)
def test_every_generation_bills_and_shares_out(name: str) -> None:
    node = Node(Genesis(), generation=legacy.generation(name))
    node.make_block(NOW)
    ctx = Context(node.typed().over(Overlay(node.state)), BY_NAME, 1, NOW, bytes(32))
    who = developer("Charlie")
    runtime = Runtime()
    for call, arguments in (
        ("user_accept_tc", {"document_link": b"l", "document_hash": b"h"}),
        ("create_twin", {"relay": None, "pk": None}),
    ):
        runtime.dispatch(ctx, who, {"TfgridModule": {call: arguments}})
    runtime.dispatch(ctx, who, {"SmartContractModule": {"create_name_contract": {"name": b"name"}}})
    for _ in range(24):
        ctx.now += 3_600_000
        runtime.dispatch(ctx, who, {"SmartContractModule": {"bill_contract_for_block": {"contract_id": 1}}})
    burned = [e["event"] for e in ctx.events if "TokensBurned" in e["event"].get("SmartContractModule", ())]
    assert burned == [{"SmartContractModule": {"TokensBurned": {"contract_id": 1, "amount": 24 * 20_000 * 35 // 100}}}]
    runtime.dispatch(ctx, who, {"SmartContractModule": {"cancel_contract": {"contract_id": 1}}})


def test_what_waits_is_not_skipped() -> None:
    node = Node(Genesis())
    node.make_block()
    node.submit(remark(node, 0))
    advance(node, DAY)
    assert node.typed().get("System.Account", ALICE.public)["nonce"] == 1


def test_states_behind_the_last_blocks_can_be_read() -> None:
    node = Node(Genesis())
    advance(node, DAY)
    methods = Methods(node)
    key = "0x" + skip.NUMBER.hex()
    at = "0x" + node.blocks[node.head.number - 200].hash.hex()
    assert methods.state_getStorage(key, at) == "0x" + (node.head.number - 200).to_bytes(4, "little").hex()
    with pytest.raises(Invalid, match="discarded"):
        methods.state_getStorage(key, "0x" + node.blocks[100].hash.hex())


def test_nothing_is_final_while_the_chain_is_told_so() -> None:
    node = Node(Genesis())
    node.make_block()
    node.faults.unfinal = True
    advance(node, 600)
    assert node.finalized == 1
    assert node.reorganise(10) == 10


def test_a_skipped_chain_is_found_again(tmp_path: Path) -> None:
    node = Node(Genesis(), tmp_path)
    advance(node, DAY)
    node.submit(remark(node, 0))
    last = node.make_block()
    again = Node(Genesis(), tmp_path)
    assert again.head == last
    assert again.blocks[5000] == node.blocks[5000]
    assert again.blocks[last.number].body == last.body
    assert again.state.all_keys(BY_NAME["System"].key("BlockHash")) == node.state.all_keys(
        BY_NAME["System"].key("BlockHash")
    )
    again.close()
    node.close()


def test_a_file_of_another_layout_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "chain.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("create table blocks (number integer)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(OldChain):
        Store(path)
    assert path.read_bytes() == before


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_a_body_is_split_as_it_was_joined(parts: list[bytes]) -> None:
    body = [compact(len(part)) + part for part in parts]
    assert list(block.split(b"".join(body))) == body


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 4000), min_size=1, max_size=4))
def test_time_passes_exactly_in_parts(parts: list[int]) -> None:
    node = Node(Genesis())
    node.make_block()
    for part in parts:
        before = node.now()
        advance(node, part)
        assert 0 <= node.head.now - before - part * 1000 < 3000
        assert node.blocks[node.head.number].parent == node.blocks[node.head.number - 1].hash


def test_heartbeats_are_told_for_nodes_that_are_awake() -> None:
    node = Node(Genesis())
    node.make_block()
    farmer = developer("Alice")
    sign(node, 0, "TfgridModule", "user_accept_tc", document_link=b"l", document_hash=b"h")
    sign(node, 1, "TfgridModule", "create_twin", relay=b"relay", pk=None)
    sign(node, 2, "TfgridModule", "create_farm", name=b"farm", public_ips=[])
    sign(
        node,
        3,
        "TfgridModule",
        "create_node",
        farm_id=1,
        resources={"hru": 0, "sru": 2**39, "cru": 8, "mru": 2**35},
        location={"city": b"Ghent", "country": b"BE", "latitude": b"51.0", "longitude": b"3.7"},
        interfaces=[],
        secure_boot=False,
        virtualized=False,
        serial_number=None,
    )
    node.make_block()
    assert node.typed().get("TfgridModule.TwinIdByAccountID", farmer) == 1
    advance(node, 3 * DAY, heartbeats=True)
    methods = Methods(node)
    start = node.head.now // 1000 - 2 * DAY
    minted = methods.dev_mint(start, 2 * DAY - 3600)
    (paid,) = minted["nodes"]
    assert (paid["permille"], paid["violation"]) == (1000, "")
    assert paid["units"] > 0
    advance(node, DAY)
    (unpaid,) = methods.dev_mint(node.head.now // 1000 - DAY, DAY)["nodes"]
    assert unpaid["units"] == 0
