"""An interface in a network of the user's own: every machine has one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Self

from zos.model.decode import Fields
from zos.model.names import mac, net_id
from zos.networkd.api.check import check_address
from zos.networkd.api.types import NetId, Place, Tap, TapId, TapInfo
from zos.primitives.zmachine.attachment import Attachment, network_name
from zos.verbs.primitive import Facts, Need, Sibling, refused_at


@dataclass(frozen=True, slots=True)
class Private(Attachment):
    """The machine's address in a user network, which is also its way out."""

    network: str
    ip: str
    order = 0
    absent = {"ip": ""}

    @classmethod
    def parse(cls, network: Fields) -> Self:
        interfaces = list(network.objects("interfaces"))
        if len(interfaces) != 1:
            network.refuse("interfaces", f"must have exactly one entry, not {len(interfaces)}")
        (one,) = interfaces
        return cls(network_name(one, one.text("network")), _address(one))

    @property
    def label(self) -> str:
        return self.network

    def needs(self) -> tuple[Need, ...]:
        return (Need(self.network, shared=True),)

    def check(self, path: str, siblings: Mapping[str, Sibling]) -> None:
        network = siblings.get(self.network)
        subnet = getattr(network.spec, "subnet", "") if network is not None and network.type.sharable else ""
        if subnet:
            with refused_at(f"{path}.data.network.interfaces[0].ip"):
                check_address(IPv4Address(self.ip), IPv4Network(subnet, strict=False))

    def tap(self, id: TapId, facts: Facts) -> Tap:
        return Tap(id, Place.NETWORK, mac(id), NetId(net_id(facts.twin, self.network)), ip=self.ip)

    def result(self, tap: TapInfo) -> Mapping[str, Any]:
        return {"ip": self.ip}


def _address(interface: Fields) -> str:
    text = interface.text("ip")
    try:
        return str(IPv4Address(text))
    except ValueError:
        interface.refuse("ip", f"`{text}` is no IPv4 address")


ATTACHMENT = Private
