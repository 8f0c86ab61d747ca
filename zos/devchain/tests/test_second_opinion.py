"""The chain and an independent calculator agree on random contracts, to the unit."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zos.devchain.genesis import Genesis, developer
from zos.devchain.pallets.contracts.billing import STAKING_POOL
from zos.devchain.runtime import Variant
from zos.devchain.tests.calculator import GIB, ONE, Account, Calculator, Deal, Machine, half_up, nearest_down, product
from zos.devchain.world import World
from zos.runtime.depth import deep

C = "SmartContractModule"
HOUR = 600
"""Blocks."""
FARMS, NODES, DEDICATED, USERS = 3, 8, 4, 24
ALICE = developer("Alice")


def key(kind: str, number: int) -> bytes:
    return kind.encode().ljust(28, b"-") + number.to_bytes(4, "big")


@dataclass
class Grid:
    """The same story, told to both."""

    variant: Variant
    seed: int
    world: World = field(init=False)
    other: Calculator = field(init=False)
    accounts: dict[str, bytes] = field(default_factory=dict)
    start: int = field(init=False)
    cancelled: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.world = World(Genesis(billing=self.variant))
        self.start = self.world.now
        self.other = Calculator(self.variant is Variant.RESERVE, now=self.start, block=1)
        self.accounts |= {"foundation": developer("Eve"), "sales": developer("Ferdie"), "pool": STAKING_POOL}
        for number in range(FARMS):
            self.accounts[f"farmer{number}"] = key("farmer", number)
            self.world.farm(key("farmer", number), b"farm%d" % number, ips=60)
        for number in range(1, NODES + DEDICATED + 1):
            self._node(number)
        for number in range(USERS):
            self.accounts[f"user{number}"] = key("user", number)
            self.world.twin(key("user", number))
        self._provider()
        for name, account in self.accounts.items():
            self.other.accounts[name] = Account(self.world.free(account))
        for number in range(USERS):
            self.fund(number, int(10 ** self.random.uniform(8, 11.5)))
        self.rest = self.elsewhere()

    def _node(self, number: int) -> None:
        farm = number % FARMS
        size = {
            "hru": self.random.randrange(5) * 1000 * GIB,
            "sru": self.random.randrange(100, 4000) * GIB,
            "cru": self.random.randrange(1, 128),
            "mru": self.random.randrange(2 * GIB, 512 * GIB),
        }
        id = self.world.node(key("node", number), farm + 1, **size)
        machine = Machine(f"farmer{farm}", (size["hru"], size["sru"], size["cru"], size["mru"]))
        self.other.machines[id] = machine
        if self.random.random() < 0.3:
            machine.certified = True
            what = {"node_id": id, "node_certification": "Certified"}
            self.world.call(ALICE, "TfgridModule.set_node_certification", **what)
        if number > NODES and number % 2:
            machine.fee = self.random.randrange(1, 500_000)
            farmer = self.accounts[machine.farmer]
            self.world.call(farmer, f"{C}.set_dedicated_node_extra_fee", node_id=id, extra_fee=machine.fee)

    def _provider(self) -> None:
        takes = (("user0", 7), ("farmer0", 13))
        providers = [{"who": self.accounts[who], "take": take} for who, take in takes]
        self.world.call(ALICE, f"{C}.create_solution_provider", description=b"", link=b"", providers=providers)
        self.world.call(ALICE, f"{C}.approve_solution_provider", solution_provider_id=1, approve=True)
        self.takes = takes

    def at(self, block: int) -> None:
        """Both are at a block, before its work."""
        self.world.block = self.other.block = block
        self.world.now = self.other.now = self.start + block * 6

    def turn(self, block: int) -> None:
        """Both do the block's work."""
        self.at(block)
        self.world.block -= 1
        self.world.step(0)
        self.other.turn()

    def hour(self, number: int) -> None:
        """The blocks of an hour that have work."""
        places = {deal.id % HOUR for deal in self.other.deals.values()}
        for place in sorted(places):
            self.turn(number * HOUR + place)
        self.at(number * HOUR + HOUR - 1)

    # What people do

    def fund(self, user: int, units: int) -> None:
        self.world.fund(key("user", user), units)
        self.other.accounts[f"user{user}"].free += units

    def create(self) -> None:
        user = self.random.randrange(USERS)
        what = self.random.random()
        id = int(self.world.get(f"{C}.ContractID")) + 1
        who = key("user", user)
        free = [n for n in self.other.machines if n > NODES and self.other.machines[n].tenant is None]
        if what < 0.1:
            self.world.call(who, f"{C}.create_name_contract", name=b"name-%d" % id)
            self.other.deal(Deal(id, "name", f"user{user}"))
        elif what < 0.2 and free:
            node = self.random.choice(free)
            self.world.call(who, f"{C}.create_rent_contract", node_id=node, solution_provider_id=None)
            self.other.deal(Deal(id, "rent", f"user{user}", node))
        else:
            self._deploy(id, user)

    def _deploy(self, id: int, user: int) -> None:
        rented = [
            deal.node
            for deal in self.other.deals.values()
            if deal.kind == "rent" and deal.payer == f"user{user}" and deal.grace is None
        ]
        node = self.random.choice(rented or range(1, NODES + 1))
        ips, is_solution = self.random.choice((0, 0, 0, 1, 2)), self.random.random() < 0.2
        self.world.contract(key("user", user), node, ips=ips, provider=1 if is_solution else None)
        takes = self.takes if is_solution else ()
        self.other.deal(Deal(id, "node", f"user{user}", node, ips, takes=takes))
        if self.random.random() < 0.9:
            self.use(id)

    def use(self, id: int) -> None:
        deal = self.other.deals[id]
        pick = self.random.randrange
        used = {"hru": pick(3) * 500 * GIB, "sru": pick(300 * GIB), "cru": pick(17), "mru": pick(64 * GIB)}
        self.world.use(key("node", deal.node), id, **used)
        deal.used = (used["hru"], used["sru"], used["cru"], used["mru"])

    def traffic(self, id: int) -> None:
        nru, window = self.random.randrange(10**11), self.random.randrange(1, 7200)
        report = {"contract_id": id, "timestamp": self.world.now, "window": window, "nru": nru}
        self.world.call(key("node", self.other.deals[id].node), f"{C}.add_nru_reports", reports=[report])
        self.other.traffic(id, nru, window)

    def cancel(self, id: int) -> None:
        deal = self.other.deals[id]
        if deal.kind == "rent" and any(d.kind == "node" and d.node == deal.node for d in self.other.deals.values()):
            return
        self.world.call(self.accounts[deal.payer], f"{C}.cancel_contract", contract_id=id)
        self.other.cancel(id)
        self.cancelled += 1

    def live(self, contracts: int, hours: int, life: float) -> None:
        """So many contracts over so many hours, each about so long."""
        born = sorted(self.random.randrange(hours) for _ in range(contracts))
        for hour in range(hours):
            self.hour(hour)
            while born and born[0] <= hour:
                born.pop(0)
                self.create()
            for id in list(self.other.deals):
                if id in self.other.deals:
                    self._meddle(id, life)
            if self.random.random() < 0.3:
                self.fund(self.random.randrange(USERS), int(10 ** self.random.uniform(6, 10)))
            self.agree(full=hour % 24 == 0)
        self.agree(full=True)

    def _meddle(self, id: int, life: float) -> None:
        chance = self.random.random()
        deal = self.other.deals[id]
        if deal.kind == "node" and chance < 0.03:
            self.use(id)
        elif deal.kind == "node" and chance < 0.1:
            self.traffic(id)
        elif chance > 1 - 1 / life and (deal.grace is None or chance > 1 - 0.2 / life):
            self.cancel(id)

    # What both say

    def elsewhere(self) -> int:
        """What is issued and not with anybody of this story; it never changes, whatever is paid or burned."""
        held = sum(account.free + account.reserved for account in self.other.accounts.values())
        return int(self.world.get("Balances.TotalIssuance")) - held

    def agree(self, *, full: bool) -> None:
        for name, account in self.accounts.items():
            data = self.world.get("System.Account", account)["data"]
            mine = self.other.accounts[name]
            told = (data["free"], data["frozen"], data["reserved"])
            assert told == (mine.free, mine.locked, mine.reserved), (name, self.world.block)
        assert self.elsewhere() == self.rest
        if full:
            assert self.world.get("Balances.TotalIssuance") == self.world.held()
            bills = [e for name, e in self.world.events if name == f"{C}.ContractBilled"]
            assert [(one["contract_id"], one["amount_billed"]) for one in bills] == self.other.billed
            assert sum(e["amount"] for n, e in self.world.events if n == f"{C}.TokensBurned") == self.other.burned
            alive = {id for id in self.other.deals if self.world.get(f"{C}.Contracts", id) is not None}
            assert alive == set(self.other.deals)


@pytest.mark.parametrize("variant", Variant)
def test_hundreds_of_contracts_are_billed_to_the_unit(variant: Variant) -> None:
    """`make deep` has thousands, over months."""
    contracts = deep(300)
    grid = Grid(variant, seed=27)
    grid.live(contracts, hours=deep(20 * 24), life=20)
    ends = {name.partition(".")[2] for name, _ in grid.world.events}
    assert {"ContractGracePeriodStarted", "ContractGracePeriodEnded", "RentContractCanceled", "IPsFreed"} <= ends
    assert len(grid.other.billed) > 10 * contracts
    assert grid.world.get(f"{C}.ContractID") == contracts
    assert grid.cancelled + len(grid.other.deals) < contracts, "no contract ended because its grace period was over"


@settings(max_examples=deep(12), deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(Variant))
def test_any_story_is_billed_to_the_unit(seed: int, variant: Variant) -> None:
    Grid(variant, seed).live(contracts=25, hours=40, life=15)


@given(st.integers(0, 2**80), st.integers(0, 2**80), st.integers(1, 2**40))
def test_the_calculator_rounds_as_fractions_do(a: int, b: int, denominator: int) -> None:
    half = Fraction(1, 2)
    assert product(a, b) == math.floor(Fraction(a, ONE) * Fraction(b, ONE) * ONE)
    assert half_up(a) == math.floor(Fraction(a, ONE) + half)
    assert nearest_down(a, denominator) == math.ceil(Fraction(a, denominator) - half)
