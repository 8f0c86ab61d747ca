"""The real host: its processors, memory, firmware and boot time, and where GeoIP says that it is."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from zos.capacityd.api.errors import GeoipUnreachable
from zos.capacityd.api.types import Inventory
from zos.errors import ZosError
from zos.fetch.aio import fetch_configured
from zos.fetch.exchange import Request
from zos.model.capacity import Capacity
from zos.runtime import proc

DMI = Path("/sys/class/dmi/id")
EFI = Path("/sys/firmware/efi/efivars")
SECURE_BOOT = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
TCP = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LARGEST = 64 * 1024
REDIRECTS = 5
HYPERVISORS = {
    "qemu": "kvm",
    "kvm": "kvm",
    "vmware": "vmware",
    "virtualbox": "virtualbox",
    "innotek": "virtualbox",
    "xen": "xen",
    "microsoft corporation": "hyperv",
    "amazon ec2": "kvm",
    "google": "kvm",
    "bochs": "kvm",
}


class LinuxHost:
    """The machine that this process runs on."""

    def inventory(self, storage: Capacity) -> Inventory:
        """The hardware; `storage` is the disks' part, which storaged knows."""
        hypervisor = self._hypervisor()
        return Inventory(
            total=storage + Capacity(cru=psutil.cpu_count(logical=True) or 1, mru=int(psutil.virtual_memory().total)),
            virtualized=bool(hypervisor),
            hypervisor=hypervisor,
            secure_boot=self._secure_boot(),
            serial_number=_read(DMI / "board_serial"),
            uptime=self.uptime(),
        )

    def uptime(self) -> int:
        """Monotonic seconds since boot (suspended time counts)."""
        return int(time.clock_gettime(time.CLOCK_BOOTTIME))

    def connections(self) -> int:
        """Established TCP connections, of both families."""
        return sum(established(_read(path)) for path in TCP)

    async def dmidecode(self) -> str:
        """The firmware's table as dmidecode prints it."""
        return (await proc.run(["dmidecode"], deadline=8.0)).text

    async def fetch(self, url: str) -> bytes:
        """What a service answers; bounded in size and time."""
        try:
            answer = await fetch_configured(Request(url, limit=LARGEST, redirects=REDIRECTS), 5.0)
        except ZosError as err:
            raise GeoipUnreachable(url=url, problem=err.facts.get("problem", err)) from err
        if answer.status != 200:
            raise GeoipUnreachable(url=url, problem=f"HTTP status {answer.status}")
        return answer.body

    @staticmethod
    def _hypervisor() -> str:
        vendor = f"{_read(DMI / 'sys_vendor')} {_read(DMI / 'product_name')}".lower()
        named = next((name for word, name in HYPERVISORS.items() if word in vendor), "")
        if named:
            return named
        flags = next((line for line in _read(Path("/proc/cpuinfo")).splitlines() if line.startswith("flags")), "")
        return "unknown" if " hypervisor" in flags else ""

    @staticmethod
    def _secure_boot() -> bool:
        try:
            return (EFI / SECURE_BOOT).read_bytes()[-1:] == b"\x01"
        except OSError:
            return False


def established(table: str) -> int:
    """Connections in state 01 of the kernel's table; whose they are would need a look into every process."""
    return sum(1 for line in table.splitlines()[1:] if line.split()[3:4] == ["01"])


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
