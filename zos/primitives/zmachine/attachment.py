"""What a kind of network interface of a machine is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from zos.model.capacity import Capacity
from zos.model.decode import Fields
from zos.model.names import WorkloadId, unique
from zos.networkd.api.types import Tap, TapId, TapInfo
from zos.verbs.networkd import EnsureTap
from zos.verbs.primitive import Facts, Need, Sibling
from zos.verbs.step import Step

NOT_NETWORKS = ("ygg", "pub", "mycelium")
"""The grid's labels of taps that are in no user network; no network can have these names."""


class Attachment:
    """One interface, as the user asked for it. Subclasses are frozen dataclasses."""

    __slots__ = ()
    order: ClassVar[int]
    """Where it stands among the interfaces of a guest: private 0, public 10, planetary 20, mycelium 30."""
    absent: ClassVar[Mapping[str, Any]] = {}
    """Its part of the result of a machine that has none."""

    @classmethod
    def parse(cls, network: Fields) -> Self | None:
        """What the workload's `network` asks for; None when it does not ask for this."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """Part of the tap's id, as the grid derives it."""
        raise NotImplementedError

    def check(self, path: str, siblings: Mapping[str, Sibling]) -> None:
        """Refuse what only shows beside the deployment's other workloads."""

    def needs(self) -> tuple[Need, ...]:
        """What has to be there first."""
        return ()

    def capacity(self) -> Capacity:
        """What it takes of the node."""
        return Capacity()

    def before(self, facts: Facts) -> tuple[Step[Any], ...]:
        """Steps that come before the tap's."""
        return ()

    def after(self, facts: Facts) -> tuple[Step[Any], ...]:
        """Steps that come after the tap is dropped."""
        return ()

    def tap(self, id: TapId, facts: Facts) -> Tap:
        """The tap that networkd is asked for."""
        raise NotImplementedError

    def result(self, tap: TapInfo) -> Mapping[str, Any]:
        """Its part of the machine's result."""
        return {}

    def tap_id(self, id: WorkloadId) -> TapId:
        """The id of the tap of this machine."""
        return TapId(unique(id, self.label))

    def step(self, id: WorkloadId, facts: Facts) -> EnsureTap:
        """The step that makes the tap."""
        tap = self.tap(self.tap_id(id), facts)
        return EnsureTap(dataclasses.replace(tap, owner=f"{facts.name} of contract {facts.contract}"))


def network_name(fields: Fields, name: str) -> str:
    """The name of a user network, refused when it can be none."""
    if not name or name in NOT_NETWORKS:
        fields.refuse("network", f"`{name}` is no name of a network")
    return name
