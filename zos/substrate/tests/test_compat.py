"""Names of types, spellings of calls and shapes of values across generations of the runtime."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.devchain.runtime import METADATA
from zos.scale.metadata12 import Entry, Module, render
from zos.scale.types import Enum, Later, Struct, Variant, decode
from zos.scale.zero import zero
from zos.substrate import NotOnThisChain
from zos.substrate.compat import lift, modern_event, modern_value, refit, spell
from zos.substrate.compat.names import Names, UnknownType, plain
from zos.substrate.runtime import Runtime

# What storage, events and the grid's calls of specs 9 to 61 are made of.
NAMES = """
(BufferIndex, BufferIndex)|(KeyTypeId, Vec<u8>)|(T::BlockNumber, T::BlockNumber)|<T as Config<I>>::Proposal
<T::Lookup as StaticLookup>::Source|AccountData<T::Balance>|AccountId|AccountInfo<T::Index, T::AccountData>
AuthorityList|Balance|BalanceOf|BalanceOf<T>|BlockNumber|Box<<T as Config<I>>::Proposal>|Box<<T as Config>::Call>
BurnTransaction<BlockNumber>|BurnTransaction<T::BlockNumber>|Compact<MemberCount>|Compact<T::Balance>|Compact<T::Moment>
Compact<Weight>|ConsumedWeight|DispatchError|DispatchInfo|DispatchResult|EventIndex|Hash|Key|LastRuntimeUpgradeInfo
MintTransaction<AccountId, BlockNumber>|Multiplier|Option<T::AccountId>|Option<schedule::Period<T::BlockNumber>>|Perbill
Phase|ProposalIndex|PublicConfig|RefundTransaction<T::BlockNumber>|Releases|RuntimeDbWeight|RuntimeVersion|SessionIndex
SetId|Status|StellarSignature|StoredPendingChange<T::BlockNumber>|StoredState<T::BlockNumber>|T::Keys|T::Moment|U16F16
TaskAddress<T::BlockNumber>|ValueStruct|Vec<(T::BlockNumber, EventIndex)>|Vec<(T::ValidatorId, T::Keys)>
Vec<BalanceLock<T::Balance>>|Vec<Burn<T::AccountId, BalanceOf<T>, T::BlockNumber>>|Vec<T::ValidatorId>
Vec<EventRecord<T::Event, T::Hash>>|Vec<KeyValue>|Vec<Option<Vec<u8>>>|Vec<WeightToFeeCoefficient<BalanceOf<T>>>
Vec<UncleEntryItem<T::BlockNumber, T::Hash, T::AccountId>>|Vec<pallet_tfgrid_types::PublicIP>|Vec<types::Contract>
Vec<types::FarmingPolicy>|Vec<types::TermsAndConditions<T::AccountId>>|Votes<T::AccountId, T::BlockNumber>
limits::BlockLength|limits::BlockWeights|schedule::Priority|sp_std::marker::PhantomData<(AccountId, Event)>
types::CertificationCodes|types::Consumption|types::ContractBill|types::ContractBillingInformation
types::ContractLock<BalanceOf<T>>|types::ContractState|types::Entity<T::AccountId>|types::Farm|types::Node
types::NruConsumption|types::PalletStorageVersion|types::PricingPolicy<AccountId>|types::StorageVersion
types::Twin<AccountId>|types::Validator<T::AccountId>
""".strip()
ALL = [name for line in NAMES.splitlines() for name in line.split("|")]
CALL = Enum("Call", (Variant("Nothing", 0),))


def names(spec: int) -> Names:
    call, event = Later(), Later()
    call.target = event.target = CALL
    return Names(spec, call, event, {"AccountInfo": "AccountInfoWithDualRefCount"})


@pytest.mark.parametrize("spec", [9, 31, 49, 61])
@pytest.mark.parametrize("name", ALL)
def test_every_type_name_of_the_old_runtimes_is_known(name: str, spec: int) -> None:
    names(spec).type(name)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("types::Farm", {9: 19, 49: 19, 61: 20}),
        ("types::Node", {9: 66, 31: 67, 49: 70, 61: 70}),
        ("types::Twin<AccountId>", {9: 42, 61: 42}),
        ("types::PricingPolicy<AccountId>", {49: 103, 61: 104}),
        ("AccountInfo<T::Index, T::AccountData>", {49: 76, 61: 76}),
        ("types::Contract", {9: 29, 61: 29}),
        ("types::ContractLock<BalanceOf<T>>", {61: 26}),
        ("ConsumedWeight", {61: 24}),
        ("BurnTransaction<BlockNumber>", {9: 22, 61: 22}),
    ],
)
def test_zeros_are_as_long_as_those_of_the_real_runtimes(name: str, size: dict[int, int]) -> None:
    for spec, length in size.items():
        kind = names(spec).type(name)
        raw = kind.encode(zero(kind))
        assert len(raw) == length, (name, spec)
        assert kind.encode(decode(kind, raw)) == raw


def test_the_registry_knows_when_a_field_came() -> None:
    def fields(spec: int, name: str) -> list[str]:
        kind = names(spec).type(name)
        assert isinstance(kind, Struct)
        return [field for field, _ in kind.fields]

    assert "certification_type" not in fields(27, "types::Node")
    assert "certification_type" in fields(28, "types::Node")
    assert "secure_boot" not in fields(42, "types::Node")
    assert fields(43, "types::Node")[-1] == "serial_number"
    assert "dedicated_farm" not in fields(49, "types::Farm")
    state = names(61).type("types::ContractState")
    assert isinstance(state, Enum)
    assert [case.name for case in state.variants] == ["Created", "Deleted", "GracePeriod"]


@pytest.mark.parametrize("name", ["NoSuchType", "Vec<NoSuchType>", "", "Vec<", "[u8; x]"])
def test_a_name_without_a_layout_is_told_apart(name: str) -> None:
    with pytest.raises(UnknownType):
        names(61).type(name)


@given(st.text("TVec<>:ua8,( )[];", max_size=30))
def test_no_name_breaks_the_parser(name: str) -> None:
    try:
        names(61).type(name)
    except (UnknownType, RecursionError):
        return


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("<T as Config<I>>::Proposal", "Proposal"),
        ("<T::Lookup as StaticLookup>::Source", "Source"),
        ("Vec<types::Twin<T::AccountId>>", "Vec<Twin<AccountId>>"),
        ("sp_std::marker::PhantomData<(AccountId, Event)>", "PhantomData<(AccountId,Event)>"),
    ],
)
def test_traits_and_modules_are_taken_off_a_name(name: str, expected: str) -> None:
    assert plain(name) == expected


OLD = Runtime(
    render(
        [
            Module("System", 0, storage=(Entry("UpgradedToTripleRefCount", "bool", b"\0"),)),
            Module(
                "Odd",
                7,
                storage=(Entry("Fine", "u32", b"\5\0\0\0"), Entry("Strange", "NoSuchType", b"")),
                calls=(("strange", (("what", "NoSuchType"),)), ("fine", (("_unused", "u8"), ("more", "Vec<u8>")))),
                events=(("Strange", ("NoSuchType",)), ("Fine", ("u32", "Vec<u8>"))),
                constants=(("Limit", "u16", b"\7\0"),),
                errors=("First", "Second"),
            ),
        ],
        ("CheckSpecVersion", "CheckNonce"),
    ),
    70,
    1,
)


def test_what_has_no_layout_is_left_out_and_the_rest_keeps_its_number() -> None:
    assert not OLD.has_call("Odd", "strange")
    assert OLD.call("Odd", "fine", {"unused": 1, "more": "ab"}) == bytes([7, 1, 1, 8]) + b"ab"
    assert not OLD.has_item("Odd", "Strange")
    assert OLD.value("Odd", "Fine", None) == 5
    assert OLD.constant("Odd", "Limit") == 7
    assert OLD.error({"Module": {"index": 7, "error": 1}}) == ("Odd", "Second")


def test_only_the_extensions_of_the_metadata_are_signed() -> None:
    from zos.substrate.runtime import Era

    assert OLD.unsigned_part(Era(), 3) == b"\x0c"
    assert OLD.payload(b"call", b"\x0c", bytes(32), bytes(32)) == b"call\x0c" + (70).to_bytes(4, "little")


def test_metadata_of_today_is_taken_as_it_is() -> None:
    assert lift(METADATA, 145) is METADATA


def test_metadata_that_is_too_old_or_signed_otherwise_is_refused() -> None:
    with pytest.raises(NotOnThisChain, match=r"spec 1\) has no metadata that we can read \(it is V11\)"):
        lift(b"meta\x0b", 1)
    with pytest.raises(NotOnThisChain, match="it wants CheckMoon"):
        Runtime(render([], ("CheckMoon",)), 70, 1)


# Spellings


def spelled(call: str, given: dict[str, Any], **wants: tuple[str, ...]) -> tuple[str, Any, tuple[str, ...]]:
    found = spell("TfgridModule", call, given, wants.get)
    assert found is not None
    return found.call, found.arguments, found.lost


def test_a_call_of_the_same_arguments_is_passed_on() -> None:
    given = {"relay": None, "pk": None}
    assert spelled("create_twin", given, create_twin=("relay", "pk")) == ("create_twin", given, ())


def test_an_older_call_stands_in_for_a_missing_one() -> None:
    given = {"uptime": 5, "timestamp_hint": 7}
    assert spelled("report_uptime_v2", given, report_uptime=("uptime",)) == ("report_uptime", {"uptime": 5}, ())


def test_what_no_call_does_is_nothing() -> None:
    assert spell("TfgridModule", "fly", {}, lambda call: None) is None


def test_a_key_that_a_twin_cannot_hold_is_lost_and_an_empty_one_is_not() -> None:
    _, arguments, lost = spelled("update_twin", {"relay": "a.b", "pk": b"k"}, update_twin=("ip",))
    assert (arguments, lost) == ({"ip": "a.b"}, ("pk",))
    _, arguments, lost = spelled("update_twin", {"relay": None, "pk": None}, update_twin=("ip",))
    assert (arguments, lost) == ({"ip": b"::1"}, ())


@pytest.mark.parametrize(
    ("stored", "relay"),
    [(b"::1", None), (b"192.0.2.7", b"192.0.2.7"), (b"2001:db8::7", b"2001:db8::7"), (b"a.b", b"a.b")],
)
def test_an_address_that_a_twin_has_as_its_relay_stays_and_only_our_own_filler_is_none(
    stored: bytes, relay: bytes | None
) -> None:
    twin = {"id": 1, "account_id": bytes(32), "ip": stored}
    assert modern_value("TfgridModule", "Twins", twin)["relay"] == relay


def test_ids_are_found_under_their_older_name() -> None:
    given = {"farm_id": 3, "name": "x"}
    assert spelled("update_farm", given, update_farm=("id", "name"))[1] == {"id": 3, "name": "x"}
    wants = ("id", "name", "pricing_policy_id")
    assert spelled("update_farm", given, update_farm=wants)[1] == {"id": 3, "name": "x", "pricing_policy_id": 1}


def test_a_struct_of_unknown_difference_is_left_to_be_refused() -> None:
    assert refit({"a": 1}, ("b",)) == {"a": 1}


# Values


def test_a_twin_of_any_age_has_relay_and_key() -> None:
    old = {"version": 1, "id": 7, "account_id": b"", "ip": b"::1", "entities": []}
    assert modern_value("TfgridModule", "Twins", old) == {**old, "relay": None, "pk": None}
    new = {"id": 7, "account_id": b"", "relay": b"r", "entities": [], "pk": None}
    assert modern_value("TfgridModule", "Twins", new) == new


@pytest.mark.parametrize("frozen", [{"misc_frozen": 5, "fee_frozen": 3}, {"frozen": 5, "flags": 0}])
def test_what_an_account_may_not_spend_is_one_number(frozen: dict[str, int]) -> None:
    data = {"free": 9, "reserved": 0, **frozen}
    assert modern_value("System", "Account", {"nonce": 1, "data": data})["data"]["frozen"] == 5


def test_events_get_the_names_that_they_have_today() -> None:
    named = {"contract_id": 1, "node_id": 2, "twin_id": 3}
    assert modern_event("SmartContractModule", "NodeContractCanceled", (1, 2, 3), 3, False) == named
    assert modern_event("SmartContractModule", "NodeContractCanceled", named, 3, True) == named
    assert modern_event("System", "ExtrinsicSuccess", {"weight": 1}, 1, False) == {"dispatch_info": {"weight": 1}}
    assert modern_event("Odd", "Thing", 5, 1, False) == 5
