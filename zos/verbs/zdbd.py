"""Steps of zdbd: 0-db namespaces."""

from __future__ import annotations

from dataclasses import dataclass, field

from zos.model.units import Bytes
from zos.verbs.step import Answers, Clients, Step
from zos.verbs.storaged import EnsureVolume
from zos.zdbd.api import ZdbdClient
from zos.zdbd.api.types import Mode, Namespace, NamespaceId, NamespaceInfo


@dataclass(frozen=True, slots=True)
class EnsureNamespace(Step[NamespaceInfo]):
    """A namespace in the volume that an earlier step made."""

    id: NamespaceId
    volume: EnsureVolume
    size: Bytes
    mode: Mode
    password: str = field(repr=False)
    public: bool
    frozen: bool
    runs = True

    def describe(self) -> str:
        return f"0-db namespace {self.id}"

    async def perform(self, clients: Clients, answers: Answers) -> NamespaceInfo:
        volume = answers[self.volume]
        namespace = Namespace(
            self.id, volume.pool, volume.path, self.size, self.mode, self.password, self.public, self.frozen
        )
        return await clients.of(ZdbdClient).ensure_namespace(namespace)


@dataclass(frozen=True, slots=True)
class DropNamespace(Step[None]):
    """Its volume stays, and is dropped by a step of its own."""

    id: NamespaceId
    drops = True

    def describe(self) -> str:
        return f"drop 0-db namespace {self.id}"

    async def perform(self, clients: Clients, answers: Answers) -> None:
        await clients.of(ZdbdClient).drop_namespace(self.id)
