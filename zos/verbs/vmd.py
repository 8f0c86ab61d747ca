"""Steps of vmd: machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zos.model.units import Bytes
from zos.verbs import machine
from zos.verbs.flistd import EnsureMount
from zos.verbs.networkd import EnsureTap
from zos.verbs.primitive import Mountable, Source
from zos.verbs.step import Answers, Clients, Step
from zos.vmd.api import VmdClient
from zos.vmd.api.types import MachineId, MachineInfo


@dataclass(frozen=True, slots=True)
class Attached:
    """A disk or folder of the same deployment, and where the machine mounts it."""

    name: str
    kind: Mountable
    source: Step[Source]
    target: str


@dataclass(frozen=True, slots=True)
class EnsureMachine(Step[MachineInfo]):
    """A machine on what earlier steps made."""

    id: MachineId
    hostname: str
    cpu: int
    memory: Bytes
    mount: EnsureMount
    nics: tuple[EnsureTap, ...] = ()
    attached: tuple[Attached, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    entrypoint: str = ""
    paused: bool = False

    def describe(self) -> str:
        return f"machine {self.id}"

    async def perform(self, clients: Clients, answers: Answers) -> MachineInfo:
        return await clients.of(VmdClient).ensure_machine(machine.build(self, answers))


@dataclass(frozen=True, slots=True)
class DropMachine(Step[None]):
    id: MachineId
    drops = True

    def describe(self) -> str:
        return f"drop machine {self.id}"

    async def perform(self, clients: Clients, answers: Answers) -> None:
        await clients.of(VmdClient).drop_machine(self.id)
