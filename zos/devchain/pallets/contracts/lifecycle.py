"""A contract's record: how it begins, changes its state and ends, with everything that it holds."""

from __future__ import annotations

from typing import Any

from zos.devchain.context import Context
from zos.devchain.pallets.contracts.layout import NAME, NO_BILLING

Record = dict[str, Any]


def load(ctx: Context, id: int) -> Record:
    """A contract, or ContractNotExists."""
    contract: Record | None = ctx.get(f"{NAME}.Contracts", id)
    ctx.need(contract, f"{NAME}.ContractNotExists")
    assert contract is not None
    return contract


def content(contract: Record) -> tuple[str, Record]:
    """Its kind (NodeContract, NameContract, RentContract) and what it says."""
    ((kind, body),) = contract["contract_type"].items()
    return kind, body


def node_of_contract(contract: Record) -> int:
    """The node it is about; 0 for a name."""
    return int(content(contract)[1].get("node_id", 0))


def is_deleted(contract: Record) -> bool:
    """Whether it is on its way out."""
    return isinstance(contract["state"], dict) and "Deleted" in contract["state"]


def grace_start(contract: Record) -> int | None:
    """The block at which its grace period began, if it is in one."""
    state = contract["state"]
    return state.get("GracePeriod") if isinstance(state, dict) else None


def create(ctx: Context, twin: int, kind: str, body: Record, provider: int | None) -> Record:
    """A new record, in the billing queue."""
    if provider is not None:
        known = ctx.get(f"{NAME}.SolutionProviders", provider)
        ctx.need(known, f"{NAME}.NoSuchSolutionProvider")
        ctx.need(known["approved"], f"{NAME}.SolutionProviderNotApproved")
    id = ctx.count(f"{NAME}.ContractID")
    contract = {
        "version": 4,
        "state": "Created",
        "contract_id": id,
        "twin_id": twin,
        "contract_type": {kind: body},
        "solution_provider_id": provider,
    }
    ctx.put(f"{NAME}.Contracts", id, contract)
    enqueue(ctx, id)
    return contract


def set_state(ctx: Context, contract: Record, state: Any) -> Record:
    """The contract in another state; a node contract that is deleted is no longer active, one that lives is."""
    contract = {**contract, "state": state}
    id = contract["contract_id"]
    ctx.put(f"{NAME}.Contracts", id, contract)
    kind, body = content(contract)
    if kind == "NodeContract":
        active = ctx.get(f"{NAME}.ActiveNodeContracts", body["node_id"])
        if is_deleted(contract) and id in active:
            ctx.put(f"{NAME}.ActiveNodeContracts", body["node_id"], [one for one in active if one != id])
        elif state == "Created" and id not in active:
            ctx.put(f"{NAME}.ActiveNodeContracts", body["node_id"], [*active, id])
    return contract


def remove(ctx: Context, contract: Record) -> None:
    """Everything that a contract held is freed, the record goes."""
    kind, body = content(contract)
    {"NodeContract": _remove_node, "NameContract": _remove_name, "RentContract": _remove_rent}[kind](
        ctx, contract, body
    )
    id = contract["contract_id"]
    # The record goes in the extrinsic that ends the contract: clients see an end as an absent record.
    for item in ("Contracts", "ContractLock", "ContractPaymentState"):
        ctx.drop(f"{NAME}.{item}", id)
    dequeue(ctx, id)


def _remove_node(ctx: Context, contract: Record, body: Record) -> None:
    id, node_id = contract["contract_id"], body["node_id"]
    if body["public_ips"]:
        ctx.emit(f"{NAME}.IPsFreed", contract_id=id, public_ips=free_ips(ctx, node_id, id))
    left = [other for other in ctx.get(f"{NAME}.ActiveNodeContracts", node_id) if other != id]
    ctx.put(f"{NAME}.ActiveNodeContracts", node_id, left)
    ctx.drop(f"{NAME}.ContractIDByNodeIDAndHash", node_id, body["deployment_hash"])
    for item in ("NodeContractResources", "ContractBillingInformationByID"):
        ctx.drop(f"{NAME}.{item}", id)
    ctx.emit(f"{NAME}.NodeContractCanceled", contract_id=id, node_id=node_id, twin_id=contract["twin_id"])


def _remove_name(ctx: Context, contract: Record, body: Record) -> None:
    ctx.drop(f"{NAME}.ContractIDByNameRegistration", body["name"])
    ctx.emit(f"{NAME}.NameContractCanceled", contract_id=contract["contract_id"])


def _remove_rent(ctx: Context, contract: Record, body: Record) -> None:
    ctx.drop(f"{NAME}.ActiveRentContractForNode", body["node_id"])
    for id in ctx.get(f"{NAME}.ActiveNodeContracts", body["node_id"]):
        # Without a last bill.
        remove(ctx, load(ctx, id))
    ctx.emit(f"{NAME}.RentContractCanceled", contract_id=contract["contract_id"])


# The billing queue: a list of contracts for each place in the cycle, so that a block looks at one list only.


def _place(ctx: Context, number: int) -> int:
    return number % int(ctx.get(f"{NAME}.BillingFrequency"))


def queued(ctx: Context, block: int) -> list[int]:
    """The contracts whose turn it is at a block."""
    found: list[int] = ctx.get(f"{NAME}.ContractsToBillAt", _place(ctx, block))
    return found


def enqueue(ctx: Context, id: int) -> None:
    """Once, when the contract begins."""
    place = _place(ctx, id)
    ctx.put(f"{NAME}.ContractsToBillAt", place, [*ctx.get(f"{NAME}.ContractsToBillAt", place), id])


def dequeue(ctx: Context, id: int) -> None:
    """Once, when it ends. An empty list is no entry, so that a look at the keys tells which blocks have work."""
    place = _place(ctx, id)
    waiting = ctx.get(f"{NAME}.ContractsToBillAt", place)
    ctx.need(id in waiting, f"{NAME}.ContractWrongBillingLoopIndex")
    left = [one for one in waiting if one != id]
    if left:
        ctx.put(f"{NAME}.ContractsToBillAt", place, left)
    else:
        ctx.drop(f"{NAME}.ContractsToBillAt", place)


def requeue(ctx: Context, frequency: int) -> None:
    """Another cycle length: every contract gets its new place (the real chain forgets to, and cannot cancel then)."""
    old = int(ctx.get(f"{NAME}.BillingFrequency"))
    places: dict[int, list[int]] = {}
    for place in range(old):
        for id in ctx.get(f"{NAME}.ContractsToBillAt", place):
            places.setdefault(id % frequency, []).append(id)
        ctx.drop(f"{NAME}.ContractsToBillAt", place)
    ctx.put(f"{NAME}.BillingFrequency", frequency)
    for place, ids in places.items():
        ctx.put(f"{NAME}.ContractsToBillAt", place, ids)


# Public addresses


def reserve_ips(ctx: Context, farm: Record, count: int, contract: int) -> list[Any]:
    """The first free addresses of a farm, now the contract's."""
    if not count:
        return []
    ips = farm["public_ips"]
    ctx.need(len(ips) >= count, f"{NAME}.FarmHasNotEnoughPublicIPs")
    free = [index for index, one in enumerate(ips) if not one["contract_id"]][:count]
    ctx.need(len(free) == count, f"{NAME}.FarmHasNotEnoughPublicIPsFree")
    taken = [{**one, "contract_id": contract} if index in free else one for index, one in enumerate(ips)]
    # Without an event: IPsReserved is in the metadata and never emitted, and clients read the farm again.
    ctx.put("TfgridModule.Farms", farm["id"], {**farm, "public_ips": taken})
    return [taken[index] for index in free]


def free_ips(ctx: Context, node_id: int, contract: int) -> list[Any]:
    """The contract's addresses, given back to the node's farm."""
    node = ctx.get("TfgridModule.Nodes", node_id)
    farm = ctx.get("TfgridModule.Farms", node["farm_id"]) if node else None
    if farm is None:
        return []
    freed = [{**one, "contract_id": 0} for one in farm["public_ips"] if one["contract_id"] == contract]
    ips = [{**one, "contract_id": 0} if one["contract_id"] == contract else one for one in farm["public_ips"]]
    ctx.put("TfgridModule.Farms", farm["id"], {**farm, "public_ips": ips})
    return freed


def begin_traffic(ctx: Context, id: int) -> None:
    """A node contract's account of traffic begins now."""
    ctx.put(f"{NAME}.ContractBillingInformationByID", id, {**NO_BILLING, "last_updated": ctx.seconds})
