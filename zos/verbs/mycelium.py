"""Steps of the mycelium daemon: the identities of networks in the Mycelium overlay."""

from __future__ import annotations

from dataclasses import dataclass, field

from zos.mycelium.api import MyceliumClient
from zos.mycelium.api.types import Identity, IdentityId, IdentityInfo
from zos.networkd.api.types import MYCELIUM_DEVICE
from zos.verbs.networkd import EnsureNetwork
from zos.verbs.step import Answers, Clients, Step


@dataclass(frozen=True, slots=True)
class EnsureIdentity(Step[IdentityInfo]):
    """The key of a network in the overlay."""

    network: EnsureNetwork
    key: bytes = field(repr=False)

    def describe(self) -> str:
        return f"mycelium key of network {self.network.network.id}"

    async def perform(self, clients: Clients, answers: Answers) -> IdentityInfo:
        made = answers[self.network]
        identity = Identity(IdentityId(made.id), self.key, made.namespace, MYCELIUM_DEVICE)
        return await clients.of(MyceliumClient).ensure_identity(identity)


@dataclass(frozen=True, slots=True)
class DropIdentity(Step[None]):
    id: IdentityId
    drops = True

    def describe(self) -> str:
        return f"drop mycelium key of network {self.id}"

    async def perform(self, clients: Clients, answers: Answers) -> None:
        await clients.of(MyceliumClient).drop_identity(self.id)


@dataclass(frozen=True, slots=True)
class NeedIdentity(Step[IdentityInfo]):
    """Go on only if this node is in the overlay and answers for the network's key."""

    id: IdentityId

    def describe(self) -> str:
        return f"mycelium of network {self.id}"

    async def perform(self, clients: Clients, answers: Answers) -> IdentityInfo:
        return await clients.of(MyceliumClient).identity(self.id)
