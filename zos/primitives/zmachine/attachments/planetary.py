"""An interface in the planetary network; its address follows from its hardware address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from zos.model.decode import Fields
from zos.model.names import mac
from zos.networkd.api.types import Place, Tap, TapId, TapInfo
from zos.primitives.zmachine.attachment import Attachment
from zos.verbs.primitive import Facts


@dataclass(frozen=True, slots=True)
class Planetary(Attachment):
    """`network.planetary: true`."""

    order = 20
    absent = {"planetary_ip": ""}

    @classmethod
    def parse(cls, network: Fields) -> Self | None:
        return cls() if network.flag("planetary") else None

    @property
    def label(self) -> str:
        return "ygg"

    def tap(self, id: TapId, facts: Facts) -> Tap:
        return Tap(id, Place.PLANETARY, mac(f"{self.label}:{id}"))

    def result(self, tap: TapInfo) -> Mapping[str, Any]:
        return {"planetary_ip": tap.ip}


ATTACHMENT = Planetary
