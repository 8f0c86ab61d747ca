"""Who decides: council, farmers' votes, validators; and the small pallets beside them."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from zos.devchain.errors import Refusal
from zos.devchain.genesis import BadGenesis, Genesis, developer
from zos.devchain.layout import CALL
from zos.devchain.pallets.balances import set_lock
from zos.devchain.pallets.dao import MOTION
from zos.devchain.runtime import Variant
from zos.devchain.world import World
from zos.substrate import LocalKey

ALICE, BOB, CHARLIE = (developer(name) for name in ("Alice", "Bob", "Charlie"))
FARMER, NODE, SECOND, OUTSIDER = (bytes([n]) * 32 for n in (0xF0, 0xF1, 0xF2, 0xF3))
PRICE = {"TfgridModule": {"set_connection_price": {"price": 90}}}
HASH = hashlib.blake2b(CALL.encode(PRICE), digest_size=32).digest()
WEIGHT = {"ref_time": 0, "proof_size": 0}
GIB = 1024**3


def refused(made: World, error: str, who: bytes, call: str, /, **arguments: Any) -> None:
    with pytest.raises(Refusal) as caught:
        made.call(who, call, **arguments)
    assert caught.value.error == error


def price_of_connection(made: World) -> int:
    return int(made.get("TfgridModule.ConnectionPrice"))


# Council


def test_a_stranger_and_a_minority_change_nothing() -> None:
    made = World(Genesis(council=("//Alice", "//Bob", "//Charlie")))
    refused(made, "BadOrigin", OUTSIDER, "TfgridModule.set_connection_price", price=90)
    refused(made, "NotMember", OUTSIDER, "Council.propose", threshold=1, proposal=PRICE, length_bound=100)
    told = made.call(ALICE, "Council.propose", threshold=1, proposal=PRICE, length_bound=100)
    assert told[-1][1]["result"] == {"Err": "BadOrigin"}
    assert price_of_connection(made) == 80


def test_a_motion_with_three_fifths_is_executed() -> None:
    made = World(Genesis(council=("//Alice", "//Bob", "//Charlie")))
    made.call(ALICE, "Council.propose", threshold=2, proposal=PRICE, length_bound=100)
    refused(made, "DuplicateProposal", BOB, "Council.propose", threshold=2, proposal=PRICE, length_bound=100)
    close = {"proposal_hash": HASH, "index": 0, "proposal_weight_bound": WEIGHT, "length_bound": 100}
    made.call(ALICE, "Council.vote", proposal=HASH, index=0, approve=True)
    refused(made, "DuplicateVote", ALICE, "Council.vote", proposal=HASH, index=0, approve=True)
    refused(made, "WrongIndex", BOB, "Council.vote", proposal=HASH, index=1, approve=True)
    refused(made, "TooEarly", OUTSIDER, "Council.close", **close)
    made.call(BOB, "Council.vote", proposal=HASH, index=0, approve=True)
    told = made.call(OUTSIDER, "Council.close", **close)
    assert told[-1] == ("Council.Executed", {"proposal_hash": HASH, "result": {"Ok": ()}})
    assert price_of_connection(made) == 90
    assert made.get("Council.Proposals") == []


def test_a_motion_without_votes_ends_refused() -> None:
    made = World()
    made.call(ALICE, "Council.propose", threshold=2, proposal=PRICE, length_bound=100)
    made.block += 2 * 600
    close = {"proposal_hash": HASH, "index": 0, "proposal_weight_bound": WEIGHT, "length_bound": 100}
    assert made.call(BOB, "Council.close", **close)[-1][0] == "Council.Disapproved"
    assert price_of_connection(made) == 80


def test_members_come_and_go() -> None:
    made = World()
    made.call(ALICE, "CouncilMembership.add_member", who={"Id": CHARLIE})
    refused(made, "AlreadyMember", ALICE, "CouncilMembership.add_member", who={"Id": CHARLIE})
    made.call(ALICE, "CouncilMembership.swap_member", remove={"Id": BOB}, add={"Id": OUTSIDER})
    made.call(ALICE, "CouncilMembership.remove_member", who={"Id": CHARLIE})
    assert set(made.get("Council.Members")) == {ALICE, OUTSIDER}
    refused(made, "NotMember", ALICE, "CouncilMembership.remove_member", who={"Id": BOB})


# Dao


def farms() -> World:
    """Two farms: the second weighs more."""
    made = World(Genesis(council=("//Alice", "//Bob", "//Charlie")))
    made.node(NODE, made.farm(FARMER))
    made.node(OUTSIDER, made.farm(SECOND, b"second"), sru=1024 * GIB, cru=64)
    return made


def propose(made: World, **more: Any) -> None:
    wanted = {"threshold": 2, "action": PRICE, "description": b"d", "link": b"l", "duration": None} | more
    made.call(ALICE, "Dao.propose", **wanted)


def vote(made: World, who: bytes, farm: int, approve: bool) -> None:
    made.call(who, "Dao.vote", farm_id=farm, proposal_hash=HASH, approve=approve)


def close(made: World) -> str:
    return made.call(ALICE, "Dao.close", proposal_hash=HASH, proposal_index=0)[-1][0]


def test_weights_follow_the_nodes() -> None:
    made = farms()
    assert [made.get("Dao.FarmWeight", farm) for farm in (1, 2)] == [42, 84]
    made.call(NODE, "TfgridModule.delete_node", node_id=1)
    assert made.get("Dao.FarmWeight", 1) == 0
    propose(made)
    refused(made, "FarmHasNoNodes", FARMER, "Dao.vote", farm_id=1, proposal_hash=HASH, approve=True)


@pytest.mark.parametrize(("first", "price"), [(True, 80), (False, 90)])
def test_weight_decides_not_the_number_of_votes(first: bool, price: int) -> None:
    made = farms()
    propose(made)
    vote(made, FARMER, 1, first)
    refused(made, "OngoingVoteAndTresholdStillNotMet", ALICE, "Dao.close", proposal_hash=HASH, proposal_index=0)
    vote(made, SECOND, 2, not first)
    assert close(made) == ("Dao.Executed" if price == 90 else "Dao.Disapproved")
    assert price_of_connection(made) == price
    assert made.get("Dao.ProposalList") == []


def test_a_vote_moves_and_the_same_twice_is_refused() -> None:
    made = farms()
    propose(made)
    refused(made, "NotAuthorizedToVote", SECOND, "Dao.vote", farm_id=1, proposal_hash=HASH, approve=True)
    vote(made, FARMER, 1, True)
    refused(made, "DuplicateVote", FARMER, "Dao.vote", farm_id=1, proposal_hash=HASH, approve=True)
    vote(made, FARMER, 1, False)
    votes = made.get("Dao.Voting", HASH)
    assert (votes["ayes"], votes["nays"]) == ([], [{"farm_id": 1, "weight": 42}])


def test_a_proposal_ends_after_its_time() -> None:
    made = farms()
    refused(
        made,
        "InvalidProposalDuration",
        ALICE,
        "Dao.propose",
        threshold=1,
        action=PRICE,
        description=b"",
        link=b"",
        duration=30 * 14_400,
    )
    propose(made)
    made.block += MOTION
    vote(made, FARMER, 1, True)
    made.block += 1
    refused(made, "TimeLimitReached", SECOND, "Dao.vote", farm_id=2, proposal_hash=HASH, approve=True)
    assert close(made) == "Dao.Disapproved"


def test_three_vetos_close_a_proposal() -> None:
    made = farms()
    propose(made)
    made.call(ALICE, "Dao.veto", proposal_hash=HASH)
    refused(made, "DuplicateVote", ALICE, "Dao.veto", proposal_hash=HASH)
    refused(made, "NotCouncilMember", FARMER, "Dao.veto", proposal_hash=HASH)
    made.call(BOB, "Dao.veto", proposal_hash=HASH)
    assert made.call(CHARLIE, "Dao.veto", proposal_hash=HASH)[-1][0] == "Dao.Disapproved"
    refused(made, "ProposalMissing", FARMER, "Dao.vote", farm_id=1, proposal_hash=HASH, approve=True)


# Validators, prices


def test_the_way_of_a_validator() -> None:
    made = World()
    asked = {"validator_node_account": NODE, "stash_account": SECOND, "description": b"", "info": b""}
    refused(made, "StashNotBonded", FARMER, "Validator.create_validator_request", **asked, tf_connect_id=b"")
    made.call(SECOND, "Validator.bond", validator={"Id": FARMER})
    refused(made, "AlreadyBonded", SECOND, "Validator.bond", validator={"Id": FARMER})
    made.call(FARMER, "Validator.create_validator_request", **asked, tf_connect_id=b"")
    refused(made, "ValidatorNotApproved", FARMER, "Validator.activate_validator_node")
    refused(made, "NotCouncilMember", FARMER, "Validator.approve_validator", validator_account={"Id": FARMER})
    made.call(ALICE, "Validator.approve_validator", validator_account={"Id": FARMER})
    assert FARMER in made.get("Council.Members")
    made.call(FARMER, "Validator.activate_validator_node")
    refused(made, "ValidatorValidatingAlready", FARMER, "Validator.activate_validator_node")
    assert NODE in made.get("ValidatorSet.Validators")
    made.call(FARMER, "Validator.change_validator_node_account", new_node_validator_account=OUTSIDER)
    assert NODE not in made.get("ValidatorSet.Validators")
    made.call(FARMER, "Validator.remove_validator", validator_account={"Id": FARMER})
    assert FARMER not in made.get("CouncilMembership.Members")


def test_the_price_is_the_mean_of_what_validators_said() -> None:
    made = World()
    error = "AccountUnauthorizedToSetPrice"
    refused(made, error, OUTSIDER, "TFTPriceModule.set_prices", price=60, block_number=1)
    told = made.call(ALICE, "TFTPriceModule.set_prices", price=61, block_number=7)
    assert told == [("TFTPriceModule.PriceStored", 61), ("TFTPriceModule.AveragePriceStored", 56)]
    assert made.get("TFTPriceModule.LastBlockSet") == 7
    told = made.call(ALICE, "TFTPriceModule.set_prices", price=10_000, block_number=8)
    assert told[-1] == ("TFTPriceModule.AveragePriceIsAboveMaxPrice", (3370, 1000))


def test_the_ring_forgets_the_oldest_price() -> None:
    made = World()
    for number in range(1440):
        made.call(ALICE, "TFTPriceModule.set_prices", price=100, block_number=number)
        if number == 3:
            # From here the ring is filled by hand: 1440 calls would prove nothing more.
            ctx = made.context()
            for place in range(5, 1440):
                ctx.put("TFTPriceModule.TftPriceHistory", place, 100)
            ctx.put("TFTPriceModule.BufferRange", (0, 1439))
            break
    made.call(ALICE, "TFTPriceModule.set_prices", price=100, block_number=5)
    assert made.get("TFTPriceModule.BufferRange") == (1, 0)
    made.call(ALICE, "TFTPriceModule.set_prices", price=100, block_number=6)
    assert made.get("TFTPriceModule.BufferRange") == (2, 1)
    assert made.get("TFTPriceModule.AverageTftPrice") == 100


def test_the_bounds_of_the_price_do_not_cross() -> None:
    made = World()
    refused(made, "MinPriceAboveMaxPriceError", ALICE, "TFTPriceModule.set_min_tft_price", price=1000)
    refused(made, "MaxPriceBelowMinPriceError", ALICE, "TFTPriceModule.set_max_tft_price", price=10)
    made.call(ALICE, "TFTPriceModule.set_min_tft_price", price=60)
    assert made.get("TFTPriceModule.MinTftPrice") == 60


def test_without_a_price_and_a_lower_bound_nothing_is_billed() -> None:
    made = World(Genesis(price=0))
    made.context().put("TFTPriceModule.MinTftPrice", 0)
    made.twin(OUTSIDER)
    made.call(OUTSIDER, "SmartContractModule.create_name_contract", name=b"name")
    made.now += 3600
    refused(made, "TFTPriceValueError", OUTSIDER, "SmartContractModule.cancel_contract", contract_id=1)
    assert made.get("SmartContractModule.Contracts", 1)["state"] == "Created"


# Small pallets


def test_values_are_kept_under_the_accounts_own_keys() -> None:
    made = World()
    made.call(ALICE, "TFKVStore.set", key=b"k", value=b"v")
    assert made.get("TFKVStore.TFKVStore", ALICE, b"k") == b"v"
    refused(made, "NoValueStored", BOB, "TFKVStore.delete", key=b"k")
    refused(made, "KeyIsTooLarge", ALICE, "TFKVStore.set", key=b"k" * 513, value=b"")
    refused(made, "ValueIsTooLarge", ALICE, "TFKVStore.set", key=b"k", value=b"v" * 2049)
    assert made.call(ALICE, "TFKVStore.delete", key=b"k") == [("TFKVStore.EntryTaken", (ALICE, b"k", b"v"))]


def test_what_is_burned_is_gone_and_remembered() -> None:
    made = World()
    made.fund(OUTSIDER, 10_000)
    issued = made.get("Balances.TotalIssuance")
    refused(made, "NotEnoughBalanceToBurn", OUTSIDER, "BurningModule.burn_tft", amount=9_501, message=b"")
    made.call(OUTSIDER, "BurningModule.burn_tft", amount=9_000, message=b"bye")
    assert issued - made.get("Balances.TotalIssuance") == 9_000
    assert made.get("BurningModule.Burns")[0]["message"] == b"bye"
    assert made.held() == made.get("Balances.TotalIssuance")


def test_locked_money_does_not_move() -> None:
    made = World()
    made.fund(OUTSIDER, 10_000)
    set_lock(made.context(), OUTSIDER, 9_000)
    dest = {"Id": ALICE}
    refused(made, "Frozen", OUTSIDER, "Balances.transfer_keep_alive", dest=dest, value=1_001)
    made.call(OUTSIDER, "Balances.transfer_all", dest=dest, keep_alive=False)
    assert made.free(OUTSIDER) == 9_000


def test_the_council_sets_balances_and_the_supply_follows() -> None:
    made = World()
    for amount in (5_000, 900, 0):
        made.call(ALICE, "Balances.force_set_balance", who={"Id": OUTSIDER}, new_free=amount)
        assert made.free(OUTSIDER) == amount
        assert made.held() == made.get("Balances.TotalIssuance")


# Farming policies


def test_a_certified_node_gets_the_certified_policy() -> None:
    made = farms()
    assert made.get("TfgridModule.Nodes", 1)["farming_policy_id"] == 1
    set_to = {"node_id": 1, "node_certification": "Certified"}
    refused(made, "NotAllowedToCertifyNode", OUTSIDER, "TfgridModule.set_node_certification", **set_to)
    made.call(ALICE, "TfgridModule.add_node_certifier", certifier=OUTSIDER)
    made.call(OUTSIDER, "TfgridModule.set_node_certification", **set_to)
    assert made.get("TfgridModule.Nodes", 1)["farming_policy_id"] == 2


def test_a_policy_with_limits_serves_until_they_are_used_up() -> None:
    made = farms()
    made.call(
        ALICE,
        "TfgridModule.create_farming_policy",
        name=b"gold",
        su=1,
        cu=1,
        nu=1,
        ipv4=1,
        minimal_uptime=95,
        policy_end=0,
        immutable=True,
        default=False,
        node_certification="Diy",
        farm_certification="Gold",
    )
    limits = {
        "farming_policy_id": 3,
        "cu": 25,
        "su": None,
        "end": None,
        "node_count": 5,
        "node_certification": False,
    }
    made.call(ALICE, "TfgridModule.attach_policy_to_farm", farm_id=1, limits=limits)
    assert made.get("TfgridModule.Nodes", 1)["farming_policy_id"] == 3
    left = made.get("TfgridModule.Farms", 1)["farming_policy_limits"]
    assert (left["cu"], left["node_count"]) == (5, 4)
    late = bytes([0xF9]) * 32
    # Of the policies that are defaults the highest is taken, whatever certification it asks for.
    assert made.get("TfgridModule.Nodes", made.node(late, 1))["farming_policy_id"] == 2


def test_an_entity_proves_itself_with_its_key() -> None:
    made = World()
    key = LocalKey.of_text("//Charlie")
    place = {"name": b"entity", "country": b"BE", "city": b"Ghent"}
    signature = key.signed(b"entityBEGhent").hex().encode()
    asked = {"target": key.public, **place}
    error = "SignatureLengthIsIncorrect"
    refused(made, error, OUTSIDER, "TfgridModule.create_entity", **asked, signature=b"zz" * 64)
    error = "EntitySignatureDoesNotMatch"
    refused(made, error, OUTSIDER, "TfgridModule.create_entity", **asked, signature=b"00" * 64)
    made.call(OUTSIDER, "TfgridModule.create_entity", **asked, signature=signature)
    twin = made.twin(OUTSIDER)
    proof = key.signed((1).to_bytes(4, "big") + twin.to_bytes(4, "big")).hex().encode()
    made.call(OUTSIDER, "TfgridModule.add_twin_entity", twin_id=twin, entity_id=1, signature=proof)
    assert made.get("TfgridModule.Twins", twin)["entities"][0]["entity_id"] == 1
    made.call(OUTSIDER, "TfgridModule.delete_twin_entity", twin_id=twin, entity_id=1)
    made.call(key.public, "TfgridModule.delete_entity")
    assert made.get("TfgridModule.Entities", 1) is None


def test_a_wrong_genesis_is_refused() -> None:
    with pytest.raises(BadGenesis, match="unknown: no_such"):
        Genesis.of({"no_such": 1})
    with pytest.raises(BadGenesis):
        Genesis.of({"billing_frequency": "often"})
    with pytest.raises(BadGenesis):
        Genesis.of({"billing": "free"})
    assert Genesis.of({"billing": "reserve"}).billing is Variant.RESERVE
