"""An interface in the Mycelium overlay, in the subnet of one of the user's networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from zos.model.decode import Fields
from zos.model.names import mac, net_id
from zos.mycelium.api.types import IdentityId
from zos.networkd.api.types import NetId, Place, Tap, TapId, TapInfo
from zos.primitives.zmachine.attachment import Attachment, network_name
from zos.verbs.mycelium import LetGoKeys, NeedIdentity
from zos.verbs.primitive import BadWorkload, Facts, Need, Sibling
from zos.verbs.step import Step

SEED = 6
"""Bytes."""


@dataclass(frozen=True, slots=True)
class Mycelium(Attachment):
    """`network.mycelium`: the network whose subnet it is in, and there the seed's address."""

    network: str
    seed: bytes
    order = 30
    absent = {"mycelium_ip": ""}

    @classmethod
    def parse(cls, network: Fields) -> Self | None:
        data = network.optional("mycelium")
        if data is None:
            return None
        # Go's decoder takes a key in any case, so clients write it in both.
        name = network_name(data, data.text("network") or data.text("Network"))
        seed = data.hex("hex_seed")
        if len(seed) != SEED or seed in (bytes(SEED), b"\xff" * SEED):
            data.refuse("hex_seed", f"must be {SEED} bytes in hexadecimal, not all of them 00 or ff")
        return cls(name, seed)

    @property
    def label(self) -> str:
        return "mycelium"

    def check(self, path: str, siblings: Mapping[str, Sibling]) -> None:
        network = siblings.get(self.network)
        if network is not None and network.type.sharable and not getattr(network.spec, "mycelium_key", b"?"):
            problem = f"the network `{self.network}` has no mycelium key: give it `mycelium.hex_key`"
            raise BadWorkload(path=f"{path}.data.network.mycelium.network", problem=problem)

    def needs(self) -> tuple[Need, ...]:
        return (Need(self.network, shared=True),)

    def before(self, facts: Facts) -> tuple[Step[Any], ...]:
        return (NeedIdentity(IdentityId(net_id(facts.twin, self.network))),)

    def after(self, facts: Facts) -> tuple[Step[Any], ...]:
        return (LetGoKeys(NetId(net_id(facts.twin, self.network))),)

    def tap(self, id: TapId, facts: Facts) -> Tap:
        network = NetId(net_id(facts.twin, self.network))
        return Tap(id, Place.MYCELIUM, mac(f"{self.label}:{id}"), network, seed=self.seed)

    def result(self, tap: TapInfo) -> Mapping[str, Any]:
        return {"mycelium_ip": tap.ip}


ATTACHMENT = Mycelium
