"""Steps of networkd: network resources and taps."""

from __future__ import annotations

from dataclasses import dataclass

from zos.networkd.api import NetworkdClient
from zos.networkd.api.types import NetId, Network, NetworkInfo, Tap, TapId, TapInfo
from zos.verbs.step import Answers, Clients, Step


@dataclass(frozen=True, slots=True)
class EnsureNetwork(Step[NetworkInfo]):
    network: Network

    def describe(self) -> str:
        return f"network {self.network.name}"

    async def perform(self, clients: Clients, answers: Answers) -> NetworkInfo:
        return await clients.of(NetworkdClient).ensure_network(self.network)


@dataclass(frozen=True, slots=True)
class DropNetwork(Step[None]):
    id: NetId
    drops = True

    def describe(self) -> str:
        return f"drop network {self.id}"

    async def perform(self, clients: Clients, answers: Answers) -> None:
        await clients.of(NetworkdClient).drop_network(self.id)


@dataclass(frozen=True, slots=True)
class EnsureTap(Step[TapInfo]):
    tap: Tap

    def describe(self) -> str:
        return f"tap for {self.tap.ip}" if self.tap.ip else f"{self.tap.place} tap"

    async def perform(self, clients: Clients, answers: Answers) -> TapInfo:
        return await clients.of(NetworkdClient).ensure_tap(self.tap)


@dataclass(frozen=True, slots=True)
class DropTap(Step[None]):
    id: TapId
    drops = True

    def describe(self) -> str:
        return f"drop tap {self.id}"

    async def perform(self, clients: Clients, answers: Answers) -> None:
        await clients.of(NetworkdClient).drop_tap(self.id)
