"""Values of spec 145 as specs 49 and 61 lay them out, and those runtimes' calls as today's. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zos.scale.reader import Reader
from zos.scale.types import Bytes, Described, Enum, Option, Register, Struct, Tuple, Type, Vec
from zos.scale.zero import zero
from zos.substrate.compat.calls import FARM_KINDS
from zos.substrate.compat.values import modern_value, public_config, twin

NO_CONFIG = dict.fromkeys(("ipv4", "ipv6", "gw4", "gw6", "domain"), b"")


@dataclass(frozen=True)
class Translated:
    """A legacy type that takes values of spec 145, and gives them."""

    inner: Type
    pallet: str = ""
    item: str = ""

    def encode(self, value: Any) -> bytes:
        return self.inner.encode(fit(self.inner, value))

    def read(self, reader: Reader) -> Any:
        return modern_value(self.pallet, self.item, self.inner.read(reader))

    def describe(self, register: Register) -> Described:
        return self.inner.describe(register)

    def nothing(self) -> bytes:
        """What the runtime gives for a missing entry: zeros."""
        return self.inner.encode(zero(self.inner))


def fit(kind: Type, value: Any) -> Any:
    """A value of spec 145 in the shape of a legacy type."""
    match kind:
        case Bytes():
            return b"" if value is None else value
        case Vec():
            return [fit(kind.inner, one) for one in value]
        case Option():
            return None if value is None else fit(kind.inner, value)
        case Tuple():
            return tuple(fit(inner, one) for inner, one in zip(kind.items, value, strict=True))
        case Enum() if isinstance(value, Mapping):
            ((name, inner),) = value.items()
            variant = kind.variant(name)
            return {name: fit(variant.fields[0][1], inner)} if variant.fields else name
        case Struct():
            name = kind.path.rpartition("::")[2]
            fields = _SHAPED[name](value) if name in _SHAPED else value
            return {field: fit(inner, fields[field]) for field, inner in kind.fields}
        case _:
            return value


def _farm(value: Mapping[str, Any]) -> dict[str, Any]:
    return {**value, "certification_type": FARM_KINDS[value["certification"]]}


def _node(value: Mapping[str, Any]) -> dict[str, Any]:
    place = value["location"]
    kept = {"country": place["country"], "city": place["city"], "certification_type": value["certification"]}
    return {**value, **kept}


def _twin(value: Mapping[str, Any]) -> dict[str, Any]:
    return {**value, "version": 1, "ip": value["relay"] or b"::1"}


def _config(value: Mapping[str, Any] | None) -> dict[str, bytes]:
    if value is None:
        return NO_CONFIG
    ip6 = value["ip6"] or {"ip": b"", "gw": b""}
    return {
        "ipv4": value["ip4"]["ip"],
        "gw4": value["ip4"]["gw"],
        "ipv6": ip6["ip"],
        "gw6": ip6["gw"],
        "domain": value["domain"] or b"",
    }


def _data(value: Mapping[str, Any]) -> dict[str, int]:
    frozen = value["frozen"]
    return {"free": value["free"], "reserved": value["reserved"], "misc_frozen": frozen, "fee_frozen": frozen}


def _info(value: Mapping[str, Any]) -> dict[str, Any]:
    return {**value, "weight": value["weight"]["ref_time"]}


_SHAPED: Mapping[str, Callable[[Any], Any]] = {
    "Farm": _farm,
    "Node": _node,
    "Twin": _twin,
    "PublicConfig": _config,
    "AccountData": _data,
    "DispatchInfo": _info,
}


# Calls, the other way


def _renamed(**names: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda given: {names.get(name, name): value for name, value in given.items()}


def _made_farm(given: dict[str, Any]) -> dict[str, Any]:
    return {**given, "public_ips": [{"ip": one["ip"], "gw": one["gateway"]} for one in given["public_ips"]]}


def _updated_farm(given: dict[str, Any]) -> dict[str, Any]:
    return {"farm_id": given["id"], "name": given["name"]}


def _made_node(given: dict[str, Any]) -> dict[str, Any]:
    given = dict(given)
    place = {"city": given.pop("city"), "country": given.pop("country"), **given["location"]}
    return {**given, "location": place, "serial_number": given["serial_number"] or None}


def _made_twin(given: dict[str, Any]) -> dict[str, Any]:
    known = twin({"id": 1, "ip": given["ip"]})
    assert known is not None
    return {"relay": known["relay"], "pk": None}


def _configured(given: dict[str, Any]) -> dict[str, Any]:
    return {**given, "public_config": public_config(given["public_config"])}


def _contract(given: dict[str, Any]) -> dict[str, Any]:
    given = dict(given)
    return {"deployment_data": given.pop("data"), "solution_provider_id": None, **given}


def _updated_contract(given: dict[str, Any]) -> dict[str, Any]:
    given = dict(given)
    return {"deployment_data": given.pop("data"), **given}


CALLS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "remark": _renamed(_remark="remark"),
    "create_farm": _made_farm,
    "update_farm": _updated_farm,
    "add_farm_ip": _renamed(id="farm_id", gateway="gw"),
    "remove_farm_ip": _renamed(id="farm_id"),
    "create_node": _made_node,
    "update_node": _made_node,
    "delete_node": _renamed(id="node_id"),
    "create_twin": _made_twin,
    "update_twin": _made_twin,
    "add_node_public_config": _configured,
    "create_node_contract": _contract,
    "update_node_contract": _updated_contract,
    "create_rent_contract": lambda given: {**given, "solution_provider_id": None},
}
"""By a call's name, which is unique among the legacy ones: its arguments as spec 145 has them."""
