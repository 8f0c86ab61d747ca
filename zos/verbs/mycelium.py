"""Steps of the mycelium daemon: the identities of networks in the Mycelium overlay."""

from __future__ import annotations

from dataclasses import dataclass, field

from zos.errors import Kind, ZosError
from zos.mycelium.api import MyceliumClient
from zos.mycelium.api.types import Identity, IdentityId, IdentityInfo
from zos.networkd.api import NetworkdClient
from zos.networkd.api.types import MYCELIUM_DEVICE, NetId
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
        identity = Identity(IdentityId(made.id), self.key, made.namespace, MYCELIUM_DEVICE, made.former)
        return await clients.of(MyceliumClient).ensure_identity(identity)


@dataclass(frozen=True, slots=True)
class LetGoKeys(Step[None]):
    """Of a network's earlier keys, keep those that machines have addresses by.

    Nothing waits for it: while the mycelium daemon is away the keys stay, and go with the network's next step.
    """

    network: NetId
    drops = True

    def describe(self) -> str:
        return f"let go of earlier mycelium keys of network {self.network}"

    async def perform(self, clients: Clients, answers: Answers) -> None:
        networks = await clients.of(NetworkdClient).list_networks()
        former = next((one.former for one in networks if one.id == self.network), None)
        if former is not None:
            try:
                await clients.of(MyceliumClient).keep_former(IdentityId(self.network), former)
            except ZosError as err:
                if err.kind is not Kind.NOT_NOW:
                    raise


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
