"""The devchain as older TFChains: what it tells of itself, how it keeps values, what it says of errors and events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zos.devchain import legacy
from zos.devchain.errors import OtherGeneration
from zos.devchain.genesis import Genesis
from zos.devchain.node import Node
from zos.devchain.testing import devchain
from zos.substrate import CallFailed, Chain, KeyKind, LocalKey, NotOnThisChain
from zos.substrate.runtime import Runtime

ALICE = LocalKey.of_text("//Alice")
POOR = LocalKey.of_text("//Alice//poor", KeyKind.ED25519)
TERMS = {"document_link": "http://zos.tf/terms/v0.1", "document_hash": "9021d4dee05a661e2cb6838152c67f25"}
OLD = tuple(name for name in legacy.NAMES if name != "spec145")


def runtime(name: str) -> Runtime:
    played = legacy.generation(name)
    return Runtime(played.metadata, played.spec, played.transaction)


@pytest.mark.parametrize("name", OLD)
def test_metadata_is_v12_with_the_numbers_of_its_time(name: str) -> None:
    played = legacy.generation(name)
    assert played.metadata[:5] == b"meta\x0c"
    found = runtime(name)
    assert found.call("TfgridModule", "create_twin", {"relay": None, "pk": None})[0] == 11
    assert found.call("SmartContractModule", "cancel_contract", {"contract_id": 1})[0] == 12
    asked = {"node_id": 7, "deployment_data": b"da", "deployment_hash": b"ha", "public_ips": 1}
    assert found.call("SmartContractModule", "create_node_contract", asked)[2:] == b"\7\0\0\0\x08da\x08ha\1\0\0\0"
    assert found.constant("Balances", "ExistentialDeposit") == 500


def test_what_came_with_spec_59_is_not_in_spec_49() -> None:
    assert runtime("spec61").has_item("SmartContractModule", "ContractLock")
    assert not runtime("spec49").has_item("SmartContractModule", "ContractLock")


@pytest.mark.parametrize("name", OLD)
def test_a_missing_entry_is_told_as_zeros(name: str) -> None:
    module = runtime(name)._require_item("TfgridModule", "Twins")
    assert module["modifier"] == "Default"
    assert runtime(name).value("TfgridModule", "Twins", None) is None


@pytest.mark.parametrize("name", OLD)
async def test_accounts_have_76_bytes(name: str) -> None:
    async with devchain(0, generation=name) as dev, Chain([dev.url]) as chain:
        key = (await chain.runtime()).key("System", "Account", ALICE.public)
        assert await chain.rpc("state_getStorageSize", "0x" + key.hex()) == 76


@pytest.mark.parametrize(("name", "expected"), [("spec61", [(1, 1), (1, 0)]), ("spec49", [(1, 1)])])
async def test_a_cancelled_contract_is_told_as_often_as_it_was_then(name: str, expected: list[Any]) -> None:
    async with devchain(0.02, generation=name) as dev, Chain([dev.url]) as chain:
        await with_node(chain)
        arguments = {
            "node_id": 1,
            "deployment_hash": "a" * 32,
            "deployment_data": "{}",
            "public_ips": 0,
            "solution_provider_id": None,
        }
        await chain.submit("SmartContractModule", "create_node_contract", arguments, ALICE)
        done = await chain.submit("SmartContractModule", "cancel_contract", {"contract_id": 1}, ALICE)
        told = [event.fields for event in done.events if event.name == "NodeContractCanceled"]
        assert [(one["contract_id"], one["node_id"]) for one in told] == expected


@pytest.mark.parametrize("name", OLD)
async def test_errors_have_their_names_though_the_pallet_lists_none(name: str) -> None:
    async with devchain(0.02, generation=name) as dev, Chain([dev.url]) as chain:
        with pytest.raises(CallFailed) as caught:
            await chain.submit("SmartContractModule", "cancel_contract", {"contract_id": 9}, ALICE)
        assert caught.value.error == "ContractNotExists"
        arguments = {"dest": {"Id": POOR.public}, "value": 2**100}
        with pytest.raises(CallFailed, match=r"Balances\.InsufficientBalance"):
            await chain.submit("Balances", "transfer_keep_alive", arguments, ALICE)


@pytest.mark.parametrize("name", OLD)
async def test_what_such_a_chain_cannot_keep_is_refused_by_name(name: str) -> None:
    async with devchain(0.02, generation=name) as dev, Chain([dev.url]) as chain:
        spec = legacy.generation(name).spec
        with pytest.raises(NotOnThisChain, match=rf"spec {spec}\) has no argument pk in TfgridModule.update_twin"):
            await chain.submit("TfgridModule", "update_twin", {"relay": "relay.example", "pk": b"\2" * 33}, ALICE)
        with pytest.raises(NotOnThisChain, match=r"has no call TfgridModule\.change_power_state"):
            await chain.submit("TfgridModule", "change_power_state", {"power_state": "Up"}, ALICE)
        with pytest.raises(NotOnThisChain, match=r"has no storage item TfgridModule\.NodePower"):
            await chain.query("TfgridModule", "NodePower", 1)
        with pytest.raises(NotOnThisChain, match="has no pallet Utility"):
            (await chain.runtime()).constant("Utility", "batched_calls_limit")


@pytest.mark.parametrize("name", OLD)
async def test_a_relay_is_kept_where_an_address_was(name: str) -> None:
    async with devchain(0.02, generation=name) as dev, Chain([dev.url]) as chain:
        await chain.submit("TfgridModule", "user_accept_tc", TERMS, ALICE)
        await chain.submit("TfgridModule", "create_twin", {"relay": "relay.example", "pk": None}, ALICE)
        twin = await chain.query("TfgridModule", "Twins", 1)
        assert (twin["relay"], twin["ip"], twin["pk"]) == (b"relay.example", b"relay.example", None)


@pytest.mark.parametrize("name", OLD)
async def test_a_public_config_comes_back_as_it_was_given(name: str) -> None:
    config = {
        "ip4": {"ip": b"185.206.122.33/24", "gw": b"185.206.122.1"},
        "ip6": {"ip": b"2a10:b600:1::2/64", "gw": b"2a10:b600:1::1"},
        "domain": b"gw.example",
    }
    async with devchain(0.02, generation=name) as dev, Chain([dev.url]) as chain:
        await with_node(chain)
        for wanted in (config, None):
            arguments = {"farm_id": 1, "node_id": 1, "public_config": wanted}
            done = await chain.submit("TfgridModule", "add_node_public_config", arguments, ALICE)
            told = done.event("TfgridModule", "NodePublicConfigStored")
            assert told is not None
            assert told.fields == (1, wanted)
            assert (await chain.query("TfgridModule", "Nodes", 1))["public_config"] == wanted


def test_a_chain_on_disk_goes_on_as_what_it_began(tmp_path: Path) -> None:
    first = Node(Genesis(), tmp_path, 0, legacy.generation("spec61"))
    head = first.make_block()
    first.close()
    again = Node(Genesis(), tmp_path, 0, legacy.generation("spec61"))
    assert again.head == head
    again.close()
    with pytest.raises(OtherGeneration, match="began as spec61"):
        Node(Genesis(), tmp_path)


async def with_node(chain: Chain) -> None:
    """Twin 1, farm 1 and node 1, all Alice's."""
    gib = 1024**3
    node = {
        "farm_id": 1,
        "resources": {"hru": 0, "sru": 512 * gib, "cru": 8, "mru": 32 * gib},
        "location": {"city": "Ghent", "country": "Belgium", "latitude": "51.0", "longitude": "3.7"},
        "interfaces": [{"name": "zos", "mac": "54:b2:03:12:34:56", "ips": ["10.0.0.5"]}],
        "secure_boot": False,
        "virtualized": True,
        "serial_number": None,
    }
    await chain.submit("TfgridModule", "user_accept_tc", TERMS, ALICE)
    await chain.submit("TfgridModule", "create_twin", {"relay": None, "pk": None}, ALICE)
    await chain.submit("TfgridModule", "create_farm", {"name": "farm", "public_ips": []}, ALICE)
    await chain.submit("TfgridModule", "create_node", node, ALICE)
