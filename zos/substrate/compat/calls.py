"""How a call of today is spelled on the runtime that is connected. Pure.

Callers give the arguments that spec 145 has. A runtime that names, splits or orders them otherwise gets its own; one
that cannot take what was given (a public key for a twin that has none) is told apart from one that need not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Arguments = Mapping[str, Any]
Change = Callable[[Any], Any]
FARM_KINDS = {"NotCertified": "Diy", "Gold": "Certified"}

NO_RELAY = b"::1"
"""What a twin without relay has where twins have an address."""

OTHERWISE: Mapping[tuple[str, str], str] = {
    ("TfgridModule", "report_uptime_v2"): "report_uptime",
    ("Balances", "transfer_allow_death"): "transfer",
    ("Balances", "force_set_balance"): "set_balance",
}
"""The older call that does what a missing one does."""

SOURCES: Mapping[str, tuple[tuple[str, Change], ...]] = {
    "ip": (("relay", lambda relay: relay or NO_RELAY),),
    "id": tuple(
        (name, lambda id: id)
        for name in ("farm_id", "node_id", "pricing_policy_id", "farming_policy_id", "solution_provider_id")
    ),
    "country": (("location", lambda place: place["country"]),),
    "city": (("location", lambda place: place["city"]),),
    "data": (("deployment_data", lambda data: data),),
    "gateway": (("gw", lambda gateway: gateway),),
    "certification_type": (
        ("node_certification", lambda kind: kind),
        ("certification", lambda kind: FARM_KINDS.get(kind, kind)),
    ),
    "certifier": (("who", lambda who: who),),
    "who": (("certifier", lambda who: who),),
}
"""An older argument, and the present ones that it can be made of."""

FILLED: Mapping[str, Any] = {"pricing_policy_id": 1, "public_config": None}
"""What an older call also wants and callers of today do not give."""

FORGONE = frozenset({"timestamp_hint", "secure_boot", "virtualized", "serial_number"})
"""What a runtime may simply not keep: it says something about the node, nobody relies on it."""


@dataclass(frozen=True, slots=True)
class Spelled:
    """A call as the runtime has it."""

    call: str
    arguments: Arguments
    lost: tuple[str, ...] = ()
    """Arguments with a meaning that this runtime has no place for."""


def spell(pallet: str, call: str, given: Arguments, wants: Callable[[str], Sequence[str] | None]) -> Spelled | None:
    """The call and arguments of a runtime; `wants` tells a call's arguments there, None when there is no such call.

    None: the runtime has nothing that does this. Arguments that fit nothing are passed on, to be refused by name.
    """
    name = call
    wanted = wants(call)
    if wanted is None:
        name = OTHERWISE.get((pallet, call), "")
        wanted = wants(name) if name else None
    if wanted is None:
        return None
    if set(wanted) == given.keys():
        return Spelled(name, given)
    return _respelled(name, wanted, given)


def _respelled(name: str, wanted: Sequence[str], given: Arguments) -> Spelled:
    arguments: dict[str, Any] = {}
    used: set[str] = set()
    for one in wanted:
        if one in given:
            arguments[one] = given[one]
            used.add(one)
            continue
        source = next(((part, change) for part, change in SOURCES.get(one, ()) if part in given), None)
        if source is not None:
            part, change = source
            arguments[one] = change(given[part])
            used.add(part)
        elif one in FILLED:
            arguments[one] = FILLED[one]
    left = [one for one in given if one not in used and one not in FORGONE]
    return Spelled(name, arguments, tuple(one for one in left if given[one] is not None))


Fields = frozenset[str]
_REFITS: tuple[tuple[Fields, Fields, Change], ...] = (
    (
        frozenset({"ip", "gw"}),
        frozenset({"ip", "gateway", "contract_id"}),
        lambda one: {"ip": one["ip"], "gateway": one["gw"], "contract_id": 0},
    ),
    (
        frozenset({"city", "country", "latitude", "longitude"}),
        frozenset({"latitude", "longitude"}),
        lambda one: {"latitude": one["latitude"], "longitude": one["longitude"]},
    ),
    (
        frozenset({"ip4", "ip6", "domain"}),
        frozenset({"ipv4", "ipv6", "gw4", "gw6", "domain"}),
        lambda one: {
            "ipv4": one["ip4"]["ip"],
            "gw4": one["ip4"]["gw"],
            "ipv6": one["ip6"]["ip"] if one["ip6"] else b"",
            "gw6": one["ip6"]["gw"] if one["ip6"] else b"",
            "domain": one["domain"] or b"",
        },
    ),
)
_NO_CONFIG = dict.fromkeys(("ipv4", "ipv6", "gw4", "gw6", "domain"), b"")


def refit(value: Any, wanted: Sequence[str]) -> Any:
    """A struct of today as the struct with these fields; as it came when nothing is known about the difference."""
    names = frozenset(wanted)
    if value is None and names == _NO_CONFIG.keys():
        return _NO_CONFIG
    if not isinstance(value, Mapping) or value.keys() == names:
        return value
    return next((change(value) for now, then, change in _REFITS if now == value.keys() and then == names), value)
