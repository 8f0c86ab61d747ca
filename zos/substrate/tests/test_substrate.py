"""Keys and addresses against published vectors; calls, submission and errors against the devchain."""

from __future__ import annotations

import asyncio
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scalecodec.base import RuntimeConfigurationObject
from scalecodec.type_registry import load_type_registry_preset

from zos.devchain.runtime import METADATA
from zos.devchain.testing import devchain
from zos.scale.reader import compact
from zos.substrate import BadKey, CallFailed, Chain, ChainUnreachable, KeyKind, LocalKey, NotOnThisChain, address
from zos.substrate.errors import BadValue, StatePruned
from zos.substrate.keys import BadAddress, new_mnemonic, public_key
from zos.substrate.runtime import Era, Runtime

RUNTIME = Runtime(METADATA, 145, 2)
GiB = 1024**3
MINI_SECRET = bytes.fromhex("fac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e")
"""Of the words of the development accounts."""
SCALE = RuntimeConfigurationObject()
SCALE.update_type_registry(load_type_registry_preset("core") or {})
JUNCTIONS = ["a" * 63, "a" * 64, "a" * 20_000, "²", "+7", "0" * 99]
ALICE = LocalKey.of_text("//Alice")


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("Alice", KeyKind.SR25519, "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"),
        ("Alice", KeyKind.ED25519, "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"),
        ("Bob", KeyKind.SR25519, "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty"),
        ("Ferdie", KeyKind.ED25519, "5E2BmpVFzYGd386XRCZ76cDePMB3sfbZp5ZKGUsrG1m6gomN"),
        ("Alice//stash", KeyKind.SR25519, "5GNJqTPyNqANBkUVMN1LPPrxXnFouWXoe2wNSmmEoLctxiZY"),
    ],
)
def test_development_accounts_are_the_known_ones(name: str, kind: KeyKind, expected: str) -> None:
    assert address(LocalKey.of_text(f"//{name}", kind).public) == expected


@given(st.text(max_size=80) | st.integers(0, 2**65).map(str) | st.sampled_from(JUNCTIONS))
def test_a_junction_is_hashed_as_substrate_encodes_it(name: str) -> None:
    junction = name.replace("/", "").strip() or "x"
    is_number = bool(re.fullmatch(r"\+?[0-9]+", junction)) and int(junction) < 2**64
    encoded = SCALE.create_scale_object("u64" if is_number else "Bytes")
    raw = bytes(encoded.encode(int(junction) if is_number else junction).data)
    code = raw.ljust(32, b"\0") if len(raw) <= 32 else hashlib.blake2b(raw, digest_size=32).digest()
    expected = hashlib.blake2b(b"\x2cEd25519HDKD" + MINI_SECRET + code, digest_size=32).digest()
    assert LocalKey.of_text(f"//{junction}", KeyKind.ED25519).seed == expected


@pytest.mark.parametrize("text", ["//Alice/soft", "//Alice///word", "//Alice////word", "//"])
def test_what_would_be_another_account_elsewhere_is_no_key(text: str) -> None:
    with pytest.raises(BadKey, match="only //Name"):
        LocalKey.of_text(text)


def test_a_mnemonic_is_a_key_and_its_words_must_hold() -> None:
    words = new_mnemonic()
    assert LocalKey.of_text(words).public == LocalKey.of_text(f"  {words} ").public
    with pytest.raises(BadKey, match="mnemonic"):
        LocalKey.of_text("abandon " * 11 + "zoo")
    with pytest.raises(BadKey, match="hexadecimal"):
        LocalKey.of_text("z" * 64)


def test_a_key_does_not_show_its_secret() -> None:
    assert "secret" not in repr(ALICE)


@given(st.binary(min_size=32, max_size=32))
def test_an_address_holds_its_key(public: bytes) -> None:
    assert public_key(address(public)) == public


def test_a_mistyped_address_is_refused() -> None:
    with pytest.raises(BadAddress):
        public_key("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQX")


@pytest.mark.parametrize(
    ("pallet", "item", "keys", "expected"),
    [
        (
            "TfgridModule",
            "Twins",
            (7,),
            "19a2526838feefd7695a3b5715b415b1311378229266fc86f673a3f4cf398e6999850724010e3222888eeb8478c9ffd307000000",
        ),
        (
            "System",
            "Account",
            (ALICE.public,),
            "26aa394eea5630e07c48ae0c9558cef7b99d880ec681799c0cf30e8886371da9de1e86a9a8c739864cf3cc5ec2bea59f"
            "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d",
        ),
        (
            "TfgridModule",
            "FarmIdByName",
            ("farm",),
            "19a2526838feefd7695a3b5715b415b1e418a56ff34e81c0804c45f45aa5d213374ddfb93b4e23a57a939543020a69bf106661726d",
        ),
        (
            "SmartContractModule",
            "ContractIDByNodeIDAndHash",
            (1, "a" * 32),
            "44cb2e51a1811cda53a74b4395e03d57909385366f0e1dfc293f0a45f60df2d7d82c12285b5d4551f88e8f6e7eb52b81"
            "010000003360a35ebcb88cdd4ed501f798eb0785" + "61" * 32,
        ),
    ],
)
def test_storage_keys_are_the_chains(pallet: str, item: str, keys: tuple[object, ...], expected: str) -> None:
    assert RUNTIME.key(pallet, item, *keys).hex() == expected


NODE = {
    "farm_id": 1,
    "resources": {"hru": 0, "sru": 512 * GiB, "cru": 8, "mru": 32 * GiB},
    "location": {"city": "Ghent", "country": "Belgium", "latitude": "51.0", "longitude": "3.7"},
    "interfaces": [{"name": "zos", "mac": "54:b2:03:12:34:56", "ips": ["10.0.0.5"]}],
    "secure_boot": False,
    "virtualized": True,
    "serial_number": None,
}
CALLS = [
    ("TfgridModule", "create_twin", {"relay": None, "pk": None}, "19110000"),
    (
        "TfgridModule",
        "user_accept_tc",
        {"document_link": "http://zos.tf/terms/v0.1", "document_hash": "9021d4dee05a661e2cb6838152c67f25"},
        "191960687474703a2f2f7a6f732e74662f7465726d732f76302e31803930323164346465653035613636316532636236383338313532"
        "633637663235",
    ),
    (
        "TfgridModule",
        "create_farm",
        {"name": "farm", "public_ips": [{"ip": "185.206.122.33/24", "gw": "185.206.122.1"}]},
        "1901106661726d04443138352e3230362e3132322e33332f3234343138352e3230362e3132322e31",
    ),
    (
        "TfgridModule",
        "create_node",
        NODE,
        "1908010000000000000000000000000000008000000008000000000000000000000008000000144768656e741c42656c6769756d1035"
        "312e300c332e37040c7a6f734435343a62323a30333a31323a33343a3536042031302e302e302e35000100",
    ),
    (
        "TfgridModule",
        "report_uptime_v2",
        {"uptime": 3600, "timestamp_hint": 1700000000},
        "1926100e00000000000000f1536500000000",
    ),
    ("TfgridModule", "change_power_state", {"power_state": "Down"}, "192301"),
    (
        "SmartContractModule",
        "create_node_contract",
        {
            "node_id": 1,
            "deployment_hash": "a" * 32,
            "deployment_data": "{}",
            "public_ips": 1,
            "solution_provider_id": None,
        },
        "1a0001000000" + "61" * 32 + "087b7d0100000000",
    ),
    (
        "SmartContractModule",
        "report_contract_resources",
        {"contract_resources": [{"contract_id": 1, "used": {"hru": 0, "sru": 50 * GiB, "cru": 2, "mru": 4 * GiB}}]},
        "1a060401000000000000000000000000000000000000800c00000002000000000000000000000001000000",
    ),
    (
        "SmartContractModule",
        "add_nru_reports",
        {"reports": [{"contract_id": 1, "timestamp": 1700000000, "window": 3600, "nru": 5 * GiB}]},
        "1a0504010000000000000000f1536500000000100e0000000000000000004001000000",
    ),
]


@pytest.mark.parametrize(("pallet", "name", "arguments", "expected"), CALLS)
def test_calls_are_the_chains_bytes(pallet: str, name: str, arguments: dict[str, object], expected: str) -> None:
    assert RUNTIME.call(pallet, name, arguments).hex() == expected


def test_a_signed_extrinsic_is_the_known_one() -> None:
    key = LocalKey.of_text("//Alice", KeyKind.ED25519)
    call = RUNTIME.call("TfgridModule", "create_twin", {"relay": None, "pk": None})
    genesis = b"\x45" * 32
    extra = RUNTIME.unsigned_part(Era(), 0)
    signature = key.signed(RUNTIME.payload(call, extra, genesis, genesis))
    extrinsic = RUNTIME.extrinsic(call, extra, key.public, key.kind, signature)
    digest = hashlib.blake2b(extrinsic, digest_size=32).hexdigest()
    assert digest == "4dcf9d1e2a36d8e0d5ac4e6480545da7293f7af0627ffdb170a66fe81dd97c13"


@pytest.mark.parametrize(("era", "expected"), [(Era(), "00"), (Era(64, 42), "a502"), (Era(32768, 20000), "4e9c")])
def test_eras_are_the_chains(era: Era, expected: str) -> None:
    assert era.encode().hex() == expected


def test_a_value_that_does_not_fit_names_its_place() -> None:
    with pytest.raises(BadValue, match=r"create_node.resources.cru: -1 is outside"):
        RUNTIME.call("TfgridModule", "create_node", {**NODE, "resources": {**NODE["resources"], "cru": -1}})  # type: ignore[dict-item]


def test_what_a_runtime_lacks_is_said_with_its_spec() -> None:
    with pytest.raises(NotOnThisChain, match=r"this chain \(spec 145\) has no call TfgridModule.fly"):
        RUNTIME.call("TfgridModule", "fly", {})


@given(st.integers(0, 2**100))
def test_compact_integers_are_as_the_codec_has_them(value: int) -> None:
    from zos.scale.reader import Reader, read_compact

    assert read_compact(Reader(compact(value))) == value


async def test_a_call_is_followed_to_its_outcome() -> None:
    async with devchain(0.02) as dev, Chain([dev.url]) as chain:
        done = await chain.submit("System", "remark_with_event", {"remark": b"\xff\x00"}, ALICE)
        event = done.event("System", "Remarked")
        assert event is not None
        assert event.fields["sender"] == ALICE.public
        with pytest.raises(CallFailed) as caught:
            await chain.submit("TfgridModule", "create_twin", {"relay": None, "pk": None}, ALICE)
        assert caught.value.error == "UserDidNotSignTermsAndConditions"


async def test_many_calls_of_one_account_all_arrive() -> None:
    async with devchain(0.02) as dev, Chain([dev.url]) as chain:
        remarks = [chain.submit("System", "remark", {"remark": bytes([n])}, ALICE) for n in range(20)]
        blocks = [done.block.number for done in await asyncio.gather(*remarks)]
        assert len(blocks) == 20


async def test_the_next_url_is_tried() -> None:
    async with devchain(0.02) as dev, Chain(["ws://127.0.0.1:1", dev.url]) as chain:
        assert (await chain.head()).number >= 0
        assert chain.url == dev.url


async def test_nobody_there_is_unreachable() -> None:
    async with Chain(["ws://127.0.0.1:1"]) as chain:
        with pytest.raises(ChainUnreachable):
            await chain.head()


async def test_another_chain_under_the_same_url_is_not_taken() -> None:
    from zos.devchain.genesis import Genesis

    other = Genesis(balances={address(bytes(32)): 10_000})
    async with devchain(0.02) as one, devchain(0.02, genesis=other) as two, Chain([one.url]) as chain:
        await chain.head()
        await chain.close()
        chain.urls = (two.url,)
        with pytest.raises(ChainUnreachable, match="another chain"):
            await chain.head()


async def test_a_state_that_is_gone_is_told_from_a_missing_value() -> None:
    async with devchain(0) as dev, Chain([dev.url]) as chain:
        first = dev.node.make_block()
        for _ in range(300):
            dev.node.make_block()
        with pytest.raises(StatePruned):
            await chain.query("System", "Number", at="0x" + first.hash.hex())
        assert await chain.query("TfgridModule", "Twins", 1) is None
