"""The API of vmd."""

from zos.vmd.api.client import VmdClient
from zos.vmd.api.errors import (
    BadMachine,
    GuestAssetsMissing,
    LibvirtRefused,
    LibvirtUnreachable,
    MachineNotRunning,
    NoSuchMachine,
    PartsMissing,
    StartFailed,
)
from zos.vmd.api.types import (
    Acceleration,
    Accelerator,
    Machine,
    MachineDisk,
    MachineId,
    MachineInfo,
    MachineKind,
    MachineState,
    Nic,
    Route,
    Share,
)

__all__ = [
    "Acceleration",
    "Accelerator",
    "BadMachine",
    "GuestAssetsMissing",
    "LibvirtRefused",
    "LibvirtUnreachable",
    "Machine",
    "MachineDisk",
    "MachineId",
    "MachineInfo",
    "MachineKind",
    "MachineNotRunning",
    "MachineState",
    "Nic",
    "NoSuchMachine",
    "PartsMissing",
    "Route",
    "Share",
    "StartFailed",
    "VmdClient",
]
