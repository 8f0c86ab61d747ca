"""Wires vmd: configuration, ledgers, consoles, the loops, the API."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zos.runtime.daemon import Daemon, Runtime
from zos.vmd.api.vmd_pb2_grpc import add_VmdServicer_to_server
from zos.vmd.console import Consoles
from zos.vmd.host.contract import Host
from zos.vmd.host.machines import LinuxHost
from zos.vmd.manager import MachineManager
from zos.vmd.model import MachineRecord, RunState
from zos.vmd.service import VmService


@dataclass(frozen=True, slots=True)
class Config:
    """Table `[vmd]`."""

    uri: str = "qemu:///system"
    """Where libvirtd is."""
    guest: Path = Path("/usr/lib/zos/guest")
    """Folder of the guest kernel and initramfs (`python -m zos.images.guest`)."""
    acceleration: str = ""
    """`kvm` or `tcg`; empty: kvm when a trial guest runs in it."""
    every: float = 15.0
    """Seconds between two rounds for a machine that nothing else asked for."""
    warm: float = 300.0
    """Seconds between two questions to libvirt what QEMU can; the first one makes it find out."""


class Vmd(Daemon):
    """Machines and their consoles."""

    name = "vmd"
    config = Config

    def __init__(self) -> None:
        self._host: Host | None = None

    async def open(self, rt: Runtime) -> None:
        config: Config = rt.config
        run_dir = rt.run_dir / "vmd"
        forced = config.acceleration
        self._host = rt.host(LinuxHost, config.uri, config.guest, forced, run_dir / "m", rt.state_dir / "machines")
        # The folder is called what the first release called it.
        records = rt.ledger("wishes", MachineRecord, version=1)
        # What was tried since the node booted; a boot begins afresh.
        runs = rt.ledger("runs", RunState, volatile=True)
        manager = MachineManager(self._host, Consoles(rt.state_dir / "consoles"), records, runs, rt.clock, config.every)
        rt.serve(VmService(manager), add_VmdServicer_to_server)
        # It also notices a libvirtd that is new (and knows nothing of QEMU yet) before a tenant's machine does.
        rt.loop("warm", self._host.warm, every=config.warm)
        rt.task("machines", manager.run)
        rt.task("consoles", manager.maintain_consoles)

    async def close(self) -> None:
        if self._host is not None:
            await self._host.close()
