"""What a bill is made of, whichever way it is paid: the cost since the last one, grace, whose turn it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from zos.devchain import pricing
from zos.devchain.context import Context
from zos.devchain.errors import Refusal
from zos.devchain.pallets import balances
from zos.devchain.pallets.contracts.layout import NAME, NOTHING
from zos.devchain.pallets.contracts.lifecycle import Record, content, load, node_of_contract, queued, set_state

GRACE = 14 * 24 * 600
"""Blocks: two weeks."""
DISTRIBUTION = 24
"""Bills between two distributions."""
STAKING_POOL = bytes.fromhex("0dd1d1a6e5a35aa8c7f5e57e1edd0c3fbd6abf2eaa8ef42548986e54a2562000")
"""5CNposRewardAccount11111111111111111111111111FSU: an account that nobody has a key of."""
DEFAULT_POLICY = 1


class Biller(Protocol):
    """One way to take money for contracts."""

    def open(self, ctx: Context, id: int) -> None:
        """A contract begins: its clock starts."""
        ...

    def restart(self, ctx: Context, id: int) -> None:
        """The clock of a rent contract whose node is back from standby starts again."""
        ...

    def bill(self, ctx: Context, contract: Record) -> None:
        """Everything since the last bill; a contract in state Deleted is removed by it."""
        ...


@dataclass(frozen=True, slots=True)
class Due:
    """Tokens for the time since the last bill."""

    regular: int = 0
    extra: int = 0
    level: str = "None"

    @property
    def total(self) -> int:
        return self.regular + self.extra


_RATES: dict[bytes, pricing.Rates] = {}
"""The last policies, by how they are stored: reading one for each bill would cost as much as the bill."""
MOST_RATES = 64


def rates(ctx: Context, policy: int = DEFAULT_POLICY) -> pricing.Rates:
    """A pricing policy, or PricingPolicyNotExists."""
    raw = ctx.storage.raw("TfgridModule.PricingPolicies", policy)
    ctx.need(raw, f"{NAME}.PricingPolicyNotExists")
    assert raw is not None
    found = _RATES.get(raw)
    if found is None:
        if len(_RATES) >= MOST_RATES:
            _RATES.clear()
        found = _RATES[raw] = pricing.Rates.of(ctx.get("TfgridModule.PricingPolicies", policy))
    return found


def tokens(ctx: Context, units: int) -> int:
    """Units of money as tokens at the present price."""
    names = ("AverageTftPrice", "MinTftPrice", "MaxTftPrice")
    price = pricing.price_used(*(int(ctx.get(f"TFTPriceModule.{name}")) for name in names))
    ctx.need(price, f"{NAME}.TFTPriceValueError")
    return pricing.tokens(units, price)


def cost(ctx: Context, contract: Record, seconds: int) -> int:
    """Units of money for so many seconds of a contract, without discount and extra fee."""
    if seconds == 0:
        return 0
    kind, body = content(contract)
    price = rates(ctx)
    if kind == "NameContract":
        return pricing.name_cost(price, seconds)
    if kind == "RentContract":
        resources = ctx.part("TfgridModule.Nodes", body["node_id"], field="resources")
        ctx.need(resources, f"{NAME}.NodeNotExists")
        return pricing.rent_cost(price, resources, seconds)
    ctx.need(ctx.has("TfgridModule.Nodes", body["node_id"]), f"{NAME}.NodeNotExists")
    is_rented = ctx.has(f"{NAME}.ActiveRentContractForNode", body["node_id"])
    used = ctx.get(f"{NAME}.NodeContractResources", contract["contract_id"])["used"]
    unbilled = ctx.get(f"{NAME}.ContractBillingInformationByID", contract["contract_id"])["amount_unbilled"]
    capacity = pricing.resources_cost(price, used, body["public_ips"], seconds, with_resources=not is_rented)
    return capacity + int(unbilled)


def due(ctx: Context, contract: Record, seconds: int, balance: int, *, certified: bool) -> Due:
    """Tokens for so many seconds of a contract, at the discount that the balance earns."""
    units = cost(ctx, contract, seconds)
    regular, level = (0, "None")
    if units:
        regular, level = pricing.discounted(tokens(ctx, units), seconds, balance, certified=certified)
    extra = 0
    kind, body = content(contract)
    if kind == "RentContract" and (fee := ctx.get(f"{NAME}.DedicatedNodesExtraFee", body["node_id"])):
        units = pricing.extra_fee_cost(fee, seconds)
        extra = tokens(ctx, units) if units else 0
    return Due(regular, extra, level)


def account_of(ctx: Context, twin_id: int) -> bytes:
    """The account that pays for this twin. Raises Refusal when there is no such twin."""
    account = ctx.part("TfgridModule.Twins", twin_id, field="account_id")
    ctx.need(account, f"{NAME}.TwinNotExists")
    return bytes(account)


def stash_of(ctx: Context, twin_id: int) -> bytes | None:
    """The account that a twin has bonded: what lies there counts for discounts."""
    found = ctx.get("TfgridModule.TwinBoundedAccountID", twin_id)
    return None if found is None else bytes(found)


def farmer_of(ctx: Context, contract: Record) -> bytes | None:
    """The account of the farmer whose node a contract uses; nobody's for a name."""
    node_id = node_of_contract(contract)
    if not node_id:
        return None
    farm_id = ctx.part("TfgridModule.Nodes", node_id, field="farm_id")
    ctx.need(farm_id is not None, f"{NAME}.NodeNotExists")
    twin_id = ctx.part("TfgridModule.Farms", farm_id, field="twin_id")
    ctx.need(twin_id is not None, f"{NAME}.FarmNotExists")
    return account_of(ctx, twin_id)


def is_certified(ctx: Context, contract: Record) -> bool:
    """Whether it runs on certified capacity."""
    certification = ctx.part("TfgridModule.Nodes", node_of_contract(contract), field="certification")
    return bool(certification == "Certified")


def is_waived(ctx: Context, contract: Record) -> bool:
    """Whether it rents a node that is asleep."""
    kind, body = content(contract)
    return kind == "RentContract" and ctx.get("TfgridModule.NodePower", body["node_id"])["state"] != "Up"


def enter_grace(ctx: Context, contract: Record) -> Record:
    """Out of money: two weeks from now. A rent contract drags the node's contracts along."""
    return _turn(ctx, contract, {"GracePeriod": ctx.block})


def leave_grace(ctx: Context, contract: Record) -> Record:
    """The owner can pay again: the contract returns from grace to `Created`."""
    return _turn(ctx, contract, "Created")


def _turn(ctx: Context, contract: Record, state: object) -> Record:
    contract = set_state(ctx, contract, state)
    _emit_grace(ctx, contract)
    kind, body = content(contract)
    if kind == "RentContract":
        for id in ctx.get(f"{NAME}.ActiveNodeContracts", body["node_id"]):
            _emit_grace(ctx, set_state(ctx, load(ctx, id), state))
    return contract


def _emit_grace(ctx: Context, contract: Record) -> None:
    who = {
        "contract_id": contract["contract_id"],
        "node_id": node_of_contract(contract),
        "twin_id": contract["twin_id"],
    }
    if contract["state"] == "Created":
        ctx.emit(f"{NAME}.ContractGracePeriodEnded", **who)
    else:
        ctx.emit(f"{NAME}.ContractGracePeriodStarted", **who, block_number=ctx.block)


def emit_bill(ctx: Context, contract: Record, level: str, amount: int) -> None:
    bill = {
        "contract_id": contract["contract_id"],
        "timestamp": ctx.seconds,
        "discount_level": level,
        "amount_billed": amount,
    }
    ctx.emit(f"{NAME}.ContractBilled", bill)


def forget_traffic(ctx: Context, contract: Record) -> None:
    """Sets what a node reported and was not billed to zero, so that the next bill does not ask for it again."""
    if "NodeContract" in contract["contract_type"]:
        id = contract["contract_id"]
        known = ctx.get(f"{NAME}.ContractBillingInformationByID", id)
        if known["amount_unbilled"]:
            ctx.put(f"{NAME}.ContractBillingInformationByID", id, {**known, "amount_unbilled": 0})


def has_work(ctx: Context, contract: Record) -> bool:
    """Whether the queue bills it: a node contract without addresses, resources, traffic or debt waits."""
    kind, body = content(contract)
    if kind != "NodeContract" or body["public_ips"]:
        return True
    id = contract["contract_id"]
    if ctx.get(f"{NAME}.NodeContractResources", id)["used"] != NOTHING:
        return True
    if ctx.get(f"{NAME}.ContractBillingInformationByID", id)["amount_unbilled"]:
        return True
    state = ctx.get(f"{NAME}.ContractPaymentState", id)
    return state is not None and bool(state["standard_overdraft"] + state["additional_overdraft"])


def bill_queue(ctx: Context, biller: Biller) -> None:
    """Bill the contracts whose turn it is; one that cannot be billed does not stop the others."""
    for id in queued(ctx, ctx.block):
        contract = ctx.get(f"{NAME}.Contracts", id)
        if contract is None or not has_work(ctx, contract):
            continue
        try:
            with ctx.isolated():
                biller.bill(ctx, contract)
        except Refusal:
            # As on the real chain: the validator's extrinsic fails, and the next turn bills the longer time.
            continue


def usable(ctx: Context, twin_id: int, account: bytes, keep: int = 0) -> tuple[int, int]:
    """What a twin's account can spend, and that together with its stash."""
    own = balances.usable(ctx, account, keep)
    stash = stash_of(ctx, twin_id)
    return own, own + (balances.usable(ctx, stash, keep) if stash is not None else 0)
