"""Steps of the mycelium daemon: the identities of networks in the Mycelium overlay."""

from __future__ import annotations

from dataclasses import dataclass, field

from zos.model.mycelium import public_key, subnet
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
        made, client = answers[self.network], clients.of(MyceliumClient)
        if made.mycelium != str(subnet(public_key(self.key))):
            # Machines have addresses by the key before; it goes on being answered for.
            for one in await client.identities():
                if one.id == IdentityId(made.id) and one.subnet == made.mycelium:
                    return one
        return await client.ensure_identity(Identity(IdentityId(made.id), self.key, made.namespace, MYCELIUM_DEVICE))


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
