"""The chain's stored values as our types. Pure; fields are looked for by name, so that runtimes may differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from zos.chain.api.errors import BadRelay, NotANodeContract
from zos.chain.api.types import (
    UNKNOWN,
    Block,
    ContractEvent,
    ContractState,
    EventKind,
    Farm,
    NodeContract,
    NodeRecord,
    PublicConfig,
    PublicIp,
    Twin,
)
from zos.substrate import Event

PALLET = "SmartContractModule"
_EVENTS = {
    "NodeContractCanceled": EventKind.CANCELED,
    "ContractCanceled": EventKind.CANCELED,
    "ContractGracePeriodStarted": EventKind.GRACE_STARTED,
    "ContractGracePeriodEnded": EventKind.GRACE_ENDED,
}


def twin(value: Mapping[str, Any]) -> Twin:
    """A Twin of TfgridModule."""
    return Twin(
        id=int(value["id"]),
        account=bytes(value["account_id"]),
        relay=_text(value.get("relay")),
        pk=bytes(value.get("pk") or b""),
    )


def public_config(value: Mapping[str, Any] | None) -> PublicConfig:
    """The field `public_config` of a node."""
    if not value:
        return PublicConfig()
    four, six = value.get("ip4") or {}, value.get("ip6") or {}
    return PublicConfig(
        _text(four.get("ip")),
        _text(four.get("gw")),
        _text(six.get("ip")),
        _text(six.get("gw")),
        _text(value.get("domain")),
    )


def farm(value: Mapping[str, Any]) -> Farm:
    """A Farm of TfgridModule."""
    return Farm(id=int(value["id"]), name=_text(value["name"]), twin=int(value["twin_id"]))


def contract(value: Mapping[str, Any], at: Block) -> NodeContract:
    """A Contract of SmartContractModule that is a node contract."""
    id = int(value["contract_id"])
    ((kind, body),) = value["contract_type"].items()
    if kind != "NodeContract":
        raise NotANodeContract(contract=id, kind=kind)
    state, grace = _state(value["state"])
    return NodeContract(
        id=id,
        twin=int(value["twin_id"]),
        node=int(body["node_id"]),
        state=state,
        grace_block=grace,
        deployment_hash=_text(body["deployment_hash"]),
        deployment_data=bytes(body["deployment_data"]),
        public_ips=tuple(
            PublicIp(_text(one["ip"]), _text(one["gateway"]), int(one["contract_id"]))
            for one in body["public_ips_list"]
        ),
        at=at,
    )


def _public_ip(value: Mapping[str, Any]) -> PublicIp:
    return PublicIp(_text(value["ip"]), _text(value["gateway"]), int(value["contract_id"]))


def _state(value: Any) -> tuple[ContractState, int]:
    if value == "Created":
        return ContractState.CREATED, 0
    ((kind, detail),) = value.items()
    if kind == "GracePeriod":
        return ContractState.GRACE, int(detail)
    return (ContractState.DELETED_OUT_OF_FUNDS if detail == "OutOfFunds" else ContractState.DELETED_CANCELED), 0


def event(event: Event, node: int, block: Block) -> ContractEvent | None:
    """What an event means for this node; None when it does not concern it."""
    if event.pallet != PALLET:
        return None
    if event.name in ("ContractCreated", "ContractUpdated"):
        value = event.fields if isinstance(event.fields, Mapping) else event.fields[0]
        ((kind, body),) = value["contract_type"].items()
        if kind != "NodeContract" or int(body["node_id"]) != node:
            return None
        happened = EventKind.CREATED if event.name == "ContractCreated" else EventKind.UPDATED
        return ContractEvent(happened, int(value["contract_id"]), block)
    if event.name not in _EVENTS:
        return None
    fields = event.fields
    if isinstance(fields, Mapping):
        id, whose = int(fields["contract_id"]), int(fields["node_id"])
    else:
        # Before spec 105 these events had no field names: contract, node, twin.
        id, whose = int(fields[0]), int(fields[1])
    return ContractEvent(_EVENTS[event.name], id, block) if whose == node else None


def node_arguments(record: NodeRecord) -> dict[str, Any]:
    """The arguments that create_node and update_node share."""
    return {
        "farm_id": record.farm,
        "resources": {"hru": record.hru, "sru": record.sru, "cru": record.cru, "mru": record.mru},
        "location": {
            "city": record.city,
            "country": record.country,
            "latitude": record.latitude,
            "longitude": record.longitude,
        },
        "interfaces": [{"name": one.name, "mac": one.mac, "ips": list(one.ips)} for one in record.interfaces],
        "secure_boot": record.secure_boot,
        "virtualized": record.virtualized,
        "serial_number": record.serial_number or None,
    }


def located(record: NodeRecord, stored: Mapping[str, Any]) -> NodeRecord:
    """A record that does not know where the node is says what the chain has: not to know is no news."""
    if record.latitude != UNKNOWN:
        return record
    place = {name: _text(value) for name, value in stored["location"].items()}
    return dataclasses.replace(
        record,
        city=place["city"],
        country=place["country"],
        latitude=place["latitude"],
        longitude=place["longitude"],
    )


def same_node(stored: Mapping[str, Any], record: NodeRecord) -> bool:
    """Whether the chain has the node as it is."""
    wanted = node_arguments(record)
    return all(_plain(stored[name]) == _plain(value) for name, value in wanted.items())


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def relay_text(urls: Iterable[str]) -> str:
    """How a twin names its relays: host names without ports, sorted, joined by `_` (the chain refuses a colon)."""
    hosts = {urlsplit(url).hostname or "" for url in urls}
    if "" in hosts:
        raise BadRelay(urls=", ".join(urls))
    return "_".join(sorted(hosts))
