"""A chain with a farm, a node and people, and the bills of its contracts."""

from __future__ import annotations

from typing import Any

import pytest

from zos.devchain.errors import Refusal
from zos.devchain.genesis import Genesis, developer
from zos.devchain.runtime import Variant
from zos.devchain.world import World

GIB = 1024**3
HOUR = 3600
C = "SmartContractModule"
ALICE, BOB, FOUNDATION, SALES = (developer(name) for name in ("Alice", "Bob", "Eve", "Ferdie"))
FARMER, NODE, USER, OTHER = (bytes([n]) * 32 for n in (0xF0, 0xF1, 0xF2, 0xF3))
POOR = 2 * 4_660_620
USED = {"sru": 50 * GIB, "cru": 2, "mru": 4 * GIB}


def world(variant: Variant = Variant.LOCK, money: int = POOR * 100, **more: Any) -> World:
    """One farm with two addresses, one node, one user with so much money."""
    made = World(Genesis(billing=variant, **more))
    made.farm(FARMER, ips=2)
    made.node(NODE, 1)
    made.twin(USER)
    made.fund(USER, money - made.free(USER))
    return made


def example(made: World, provider: int | None = None) -> int:
    """The contract of the worked example, traffic included."""
    id = made.contract(USER, 1, ips=1, provider=provider)
    made.use(NODE, id, **USED)
    report = {"contract_id": id, "timestamp": made.now + HOUR, "window": HOUR, "nru": 5 * GIB}
    made.call(NODE, f"{C}.add_nru_reports", reports=[report])
    return id


def bill(made: World, id: int, after: int = HOUR) -> list[tuple[str, Any]]:
    """Bill by hand after some seconds."""
    made.now += after
    return made.call(OTHER, f"{C}.bill_contract_for_block", contract_id=id)


def names(events: list[tuple[str, Any]]) -> list[str]:
    return [name.partition(".")[2] for name, _ in events]


def only(events: list[tuple[str, Any]], name: str) -> Any:
    (found,) = [content for event, content in events if event == f"{C}.{name}"]
    return found


def refused(made: World, error: str, who: bytes, call: str, /, **arguments: Any) -> None:
    with pytest.raises(Refusal) as caught:
        made.call(who, f"{C}.{call}", **arguments)
    assert caught.value.error == error


def conserved(made: World) -> None:
    assert made.held() == made.get("Balances.TotalIssuance")


def rent(made: World, who: bytes = USER) -> int:
    id = int(made.get(f"{C}.ContractID")) + 1
    made.call(who, f"{C}.create_rent_contract", node_id=1, solution_provider_id=None)
    return id
