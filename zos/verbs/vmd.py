"""Steps of vmd: machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zos.errors import Status, ZosError
from zos.model.units import Bytes
from zos.verbs import machine
from zos.verbs.flistd import EnsureMount
from zos.verbs.networkd import EnsureTap
from zos.verbs.primitive import Mountable, Source
from zos.verbs.step import Answers, Clients, Step
from zos.vmd.api import VmdClient
from zos.vmd.api.types import MachineId, MachineInfo, MachineState


class NotRunning(ZosError):
    """A machine that is asked for does not run, and vmd goes on trying."""

    reason = "machine.not_running"
    status = Status.UNAVAILABLE
    text = "the machine does not run: it is {state}{detail}"


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
    nameservers: tuple[str, ...] = ()
    paused: bool = False
    runs = True

    def describe(self) -> str:
        return f"machine {self.id}"

    async def perform(self, clients: Clients, answers: Answers) -> MachineInfo:
        info = await clients.of(VmdClient).ensure_machine(machine.build(self, answers))
        if info.state not in (MachineState.RUNNING, MachineState.PAUSED):
            # While a start is backed off, the request is only noted.
            raise NotRunning(state=info.state, detail=f": {info.detail}" if info.detail else "")
        return info


@dataclass(frozen=True, slots=True)
class DropMachine(Step[None]):
    id: MachineId
    drops = True

    def describe(self) -> str:
        return f"drop machine {self.id}"

    async def perform(self, clients: Clients, answers: Answers) -> None:
        await clients.of(VmdClient).drop_machine(self.id)
