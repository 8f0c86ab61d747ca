"""A second opinion on billing: the runtime's rules in integers, sharing no code with the chain.

It keeps accounts and contracts of its own and is told the same things as the chain: who creates, uses, pays in and
cancels, and which block it is. Both must then agree to the unit.

What the runtime holds with 64 bits behind the point is an integer of ONE parts here (Python's fractions would take
most of the time that the chain takes).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

GIB = 2**30
GRACE = 201_600
ED = 500
PRICE = 50
SU, CU, NU, IPU, NAME = 50_000, 100_000, 15_000, 40_000, 2_500


ONE = 2**64
MONTHS_DISCOUNTS = ((3, 0.8), (6, 0.7), (12, 0.6), (36, 0.4))
"""From so many half months of the present cost on the balance: the part that is paid. The runtime's doubles."""


def quotient(numerator: int, denominator: int) -> int:
    """In parts of ONE; what is smaller is cut off."""
    return numerator * ONE // denominator


def product(a: int, b: int) -> int:
    """Of two numbers in parts of ONE; what is smaller is cut off."""
    return a * b // ONE


def half_up(parts: int) -> int:
    """Parts of ONE to the nearest integer."""
    return (parts + ONE // 2) // ONE


def nearest_down(numerator: int, denominator: int) -> int:
    """A quotient to the nearest integer; a half goes down."""
    return -((denominator - 2 * numerator) // (2 * denominator))


@dataclass
class Account:
    free: int = 0
    locked: int = 0
    reserved: int = 0


@dataclass
class Deal:
    """A contract as the calculator bills it."""

    id: int
    kind: str
    payer: str
    node: int = 0
    ips: int = 0
    used: tuple[int, int, int, int] = (0, 0, 0, 0)
    """hru, sru, cru, mru."""
    takes: tuple[tuple[str, int], ...] = ()
    unbilled: int = 0
    since: int = 0
    cycles: int = 0
    grace: int | None = None
    standing: int = 0
    extra_standing: int = 0
    """Locked or reserved since the last distribution."""
    owed: int = 0
    extra_owed: int = 0
    """Overdraft (only where there is one)."""


@dataclass
class Machine:
    farmer: str
    resources: tuple[int, int, int, int]
    certified: bool = False
    fee: int = 0
    tenant: int | None = None


@dataclass
class Calculator:
    """`reserving` chooses the variant."""

    reserving: bool
    accounts: dict[str, Account] = field(default_factory=dict)
    machines: dict[int, Machine] = field(default_factory=dict)
    deals: dict[int, Deal] = field(default_factory=dict)
    burned: int = 0
    billed: list[tuple[int, int]] = field(default_factory=list)
    block: int = 0
    now: int = 0
    cycle: defaultdict[int, dict[int, Deal]] = field(default_factory=lambda: defaultdict(dict))
    """The deals by their place in the billing cycle, then by id."""

    # What it is told

    def deal(self, deal: Deal) -> None:
        deal.since = self.now
        self.deals[deal.id] = self.cycle[deal.id % 600][deal.id] = deal
        if deal.kind == "rent":
            self.machines[deal.node].tenant = deal.id

    def traffic(self, id: int, nru: int, window: int) -> None:
        cost = product(quotient(nru, 10**9), quotient(NU, 3600)) * window
        self.deals[id].unbilled += half_up(cost)

    def cancel(self, id: int) -> None:
        self.bill(self.deals[id], ending=True)

    def turn(self) -> None:
        """The contracts whose place in the cycle this block is."""
        for deal in list(self.cycle[self.block % 600].values()):
            idle = deal.kind == "node" and not (deal.ips or any(deal.used) or deal.unbilled)
            if not (idle and not deal.owed + deal.extra_owed):
                self.bill(deal)

    # What it knows

    def usd(self, deal: Deal, seconds: int) -> int:
        if not seconds:
            return 0
        if deal.kind == "name":
            return half_up(quotient(NAME, 3600) * seconds)
        machine = self.machines[deal.node]
        if deal.kind == "rent":
            return nearest_down(half_up(self.capacity(machine.resources, seconds)), 2)
        total = 0 if machine.tenant is not None else self.capacity(deal.used, seconds)
        total += deal.ips * quotient(IPU, 3600) * seconds
        return half_up(total) + deal.unbilled

    @staticmethod
    def capacity(used: tuple[int, int, int, int], seconds: int) -> int:
        """In parts of ONE."""
        hru, sru, cru, mru = used
        disk = quotient(hru, GIB * 1200) + quotient(sru, GIB * 200)
        ways = ((4, 2), (8, 1), (2, 4))
        power = min(max(quotient(mru, GIB * m), quotient(cru, c)) for m, c in ways)
        return product(quotient(SU, 3600) * seconds, disk) + product(quotient(CU, 3600) * seconds, power)

    @staticmethod
    def tft(usd: int) -> int:
        return half_up(quotient(usd, PRICE * 10_000) * 10**7)

    @staticmethod
    def with_discount(amount: int, seconds: int, balance: int, surcharge: bool) -> int:
        if not amount:
            return 0
        month = half_up(quotient(amount * 3600, seconds) * 720)
        months = quotient(balance, max(month, 1))
        paid = 1.0
        for halves, part in MONTHS_DISCOUNTS:
            if 2 * months >= halves * ONE:
                paid = part
        numerator, denominator = paid.as_integer_ratio()
        due = quotient(amount * numerator, denominator)
        return half_up(due * 5 // 4 if surcharge else due)

    # Bills

    def bill(self, deal: Deal, ending: bool = False) -> None:
        payer = self.accounts[deal.payer]
        keep = max(payer.locked, ED) if self.reserving else payer.locked
        usable = max(0, payer.free - keep)
        seconds = self.now - deal.since
        machine = self.machines.get(deal.node)
        surcharge = self.reserving and machine is not None and machine.certified
        due = self.with_discount(self.tft(self.usd(deal, seconds)), seconds, usable, surcharge)
        extra = 0
        if deal.kind == "rent" and machine and machine.fee:
            extra = self.tft(half_up(quotient(machine.fee * 10_000 * seconds, 2_592_000)))
        (self.reserve if self.reserving else self.lock)(deal, payer, usable, due, extra, ending)

    def lock(self, deal: Deal, payer: Account, usable: int, due: int, extra: int, ending: bool) -> None:
        if not due + extra and not ending:
            return
        deal.standing += due
        deal.extra_standing += extra
        deal.since, deal.cycles = self.now, deal.cycles + 1
        ending = self.judge(deal, usable > deal.standing + deal.extra_standing, ending)
        if deal.grace is not None and not ending:
            return
        if not ending:
            payer.locked = max(payer.locked, min(payer.free, payer.locked) + due + extra)
        total = deal.standing + deal.extra_standing
        if deal.cycles >= 24 or (ending and total):
            left = max(0, min(payer.free, payer.locked) - (total - due - extra if ending else total))
            payer.locked = left if left > ED else 0
            self.pay(payer, self.machines[deal.node].farmer if extra or deal.extra_standing else "", deal)
        self.billed.append((deal.id, due + extra))
        self.close(deal, ending)

    def pay(self, payer: Account, farmer: str, deal: Deal) -> None:
        """The lock variant's distribution."""
        keep = max(payer.locked, ED)
        fee = min(max(0, payer.free - keep), deal.extra_standing)
        self.move(payer, farmer, fee)
        amount = min(max(0, payer.free - keep), deal.standing)
        tenth, twentieth, half = (nearest_down(amount * part, 100) for part in (10, 5, 50))
        self.move(payer, "foundation", tenth)
        self.move(payer, "pool", twentieth)
        rest = 50
        for who, take in deal.takes:
            self.move(payer, who, nearest_down(amount * take, 100))
            rest -= take
        self.move(payer, "sales", nearest_down(amount * rest, 100))
        burned = min(half - tenth - twentieth, max(0, payer.free - keep))
        payer.free -= burned
        self.burned += burned
        deal.standing = deal.extra_standing = deal.cycles = 0

    def move(self, payer: Account, target: str, amount: int) -> None:
        if amount:
            payer.free -= amount
            self.accounts[target].free += amount

    def reserve(self, deal: Deal, payer: Account, usable: int, due: int, extra: int, ending: bool) -> None:
        if not due + extra + deal.owed + deal.extra_owed and not ending:
            return
        deal.owed += due
        deal.extra_owed += extra
        total = deal.owed + deal.extra_owed
        enough = usable >= total
        ending = self.judge(deal, enough, ending)
        there = min(total, usable)
        payer.free -= there
        payer.reserved += there
        fee = min(there, deal.extra_owed)
        deal.extra_owed -= fee
        deal.owed -= there - fee
        deal.extra_standing += fee
        deal.standing += there - fee
        if enough:
            self.billed.append((deal.id, there))
        deal.cycles += 1
        if (deal.cycles >= 24 or ending) and deal.standing + deal.extra_standing:
            self.remit(payer, deal)
        deal.since = self.now
        self.close(deal, ending)

    def remit(self, payer: Account, deal: Deal) -> None:
        """The reserve variant's distribution."""
        payer.reserved -= deal.standing + deal.extra_standing
        tenth = nearest_down(deal.standing, 10)
        if deal.kind == "name":
            shares = [("pool", tenth), ("foundation", deal.standing - tenth)]
        else:
            foundation = nearest_down(deal.standing * 40, 100)
            farmer = self.machines[deal.node].farmer
            rest = deal.standing - tenth - foundation
            shares = [("pool", tenth), ("foundation", foundation), (farmer, rest + deal.extra_standing)]
        for who, amount in shares:
            self.accounts[who].free += amount
        deal.standing = deal.extra_standing = deal.cycles = 0

    def judge(self, deal: Deal, enough: bool, ending: bool) -> bool:
        """Into grace, out of it, or to the end."""
        if ending:
            return True
        inside = self.inside(deal)
        if deal.grace is None:
            if not enough:
                for one in (deal, *inside):
                    one.grace = self.block
            return False
        tenant = self.machines[deal.node].tenant if deal.kind == "node" else None
        suspended = self.reserving and tenant is not None and self.deals[tenant].grace is not None
        if enough and not suspended:
            for one in (deal, *inside):
                one.grace = None
            return False
        waits = self.reserving and any(one.standing + one.extra_standing for one in inside)
        return self.block - deal.grace >= GRACE and not waits

    def close(self, deal: Deal, ending: bool) -> None:
        deal.unbilled = 0
        if not ending:
            return
        gone = [deal, *self.inside(deal)]
        if deal.kind == "rent":
            self.machines[deal.node].tenant = None
        for one in gone:
            del self.deals[one.id], self.cycle[one.id % 600][one.id]

    def inside(self, deal: Deal) -> list[Deal]:
        """The node contracts on the node that a rent contract rents."""
        if deal.kind != "rent":
            return []
        return [one for one in self.deals.values() if one.kind == "node" and one.node == deal.node]
