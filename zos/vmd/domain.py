"""A machine as libvirt's domain XML, and back the little that is read from it. Pure."""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from zos.model.capacity import machine_memory
from zos.vmd.api.check import ROOT_TAG
from zos.vmd.api.types import Accelerator, Machine, MachineId, MachineKind, Nic, Share
from zos.vmd.digest import digest
from zos.vmd.seed import INIT, disk_name, words_of

NAMESPACE = "https://zos/vmd/1"
QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
EMULATOR = Path("/usr/bin/qemu-system-x86_64")
FILE_SERVER = Path("/usr/lib/qemu/virtiofsd")
TRANSLATION_CACHE_MIB = 32
"""TCG's buffer of translated code: its default of 1 GiB is no faster and costs memory for every guest."""
CMDLINE = "console=ttyS0 quiet panic=-1 cryptomgr.notests noreplace-smp"
"""A panic ends the machine at once, to be started with back-off. Without the self-tests a boot is 0.2 s shorter, and
without the kernel's small talk on an emulated serial port as much again (a panic is printed all the same). A guest of
one processor would have every lock prefix of its kernel patched away: 0.2 s under TCG, for nothing that shows later."""
PIDS = 512
"""Processes and threads of one guest on the node, beside its processors."""
FOREIGN_CMDLINE = "root=vroot rootfstype=virtiofs rootdelay=30 rw console=ttyS0 reboot=k panic=1 boot.shell_on_fail"
"""For a flist's own kernel, as the reference gives it."""

NO_HOLES = (
    ("discard", "bool", "false"),
    ("write-zeroes", "bool", "false"),
    ("max-write-zeroes-sectors", "unsigned", "0"),
)
"""A disk is only ever overwritten in place. btrfs keeps a whole extent while one block of it is used: a guest that
writes and discards all but a block takes many times its disk of the pool, and to write zeros is to reserve anew. What
is not offered a hostile guest asks for all the same: QEMU refuses it by the largest size."""

ET.register_namespace("zos", NAMESPACE)
ET.register_namespace("qemu", QEMU_NAMESPACE)


@dataclass(frozen=True, slots=True)
class Firmware:
    """UEFI for a disk that has an EFI partition."""

    code: Path
    template: Path
    variables: Path
    """The machine's own copy, kept over its restarts."""


@dataclass(frozen=True, slots=True)
class Files:
    """What the host made for one boot."""

    console: Path
    """The log of the serial port, appended to."""
    console_socket: Path
    kernel: Path | None = None
    initrd: Path | None = None
    seed: Path | None = None
    """The cloud-init disk, for every guest that is not started by our own initramfs."""
    firmware: Firmware | None = None
    user: int = 0
    """Who QEMU is, and what it opens belongs to."""


def render(machine: Machine, files: Files, accelerator: Accelerator) -> str:
    """The XML of a transient domain: vmd keeps the record, so libvirt need not keep it too."""
    kind = "kvm" if accelerator is Accelerator.KVM else "qemu"
    domain = ET.Element("domain", type=kind)
    _text(domain, "name", machine.id)
    _text(domain, "uuid", str(uuid_of(machine.id)))
    mark = ET.SubElement(ET.SubElement(domain, "metadata"), f"{{{NAMESPACE}}}machine")
    mark.set("digest", digest(machine))
    mark.set("accel", accelerator)
    # For `hook`. A QEMU has threads for processors, disks and its monitor, a file server for what the guest asks.
    mark.set("memory", str(machine_memory(machine.memory)))
    mark.set("pids", str(PIDS + machine.cpu))
    mark.set("weight", str(min(100, machine.cpu)))
    _text(domain, "memory", str(machine.memory // 1024), unit="KiB")
    backing = ET.SubElement(domain, "memoryBacking")
    # virtiofs servers read and write guest memory: it must be shared.
    ET.SubElement(backing, "source", type="memfd")
    ET.SubElement(backing, "access", mode="shared")
    _text(domain, "vcpu", str(machine.cpu))
    _boot(domain, machine, files)
    _features(domain, accelerator)
    mode = "host-passthrough" if accelerator is Accelerator.KVM else "maximum"
    ET.SubElement(domain, "cpu", mode=mode)
    ET.SubElement(domain, "clock", offset="utc")
    # Every end of the guest ends the domain; vmd starts it again, with back-off. A reboot inside QEMU would let a
    # panicking kernel spin for ever and leaves virtiofs servers with a session that is gone.
    for event in ("on_poweroff", "on_reboot", "on_crash"):
        _text(domain, event, "destroy")
    domain.append(_devices(machine, files))
    if files.user:
        label = ET.SubElement(domain, "seclabel", type="static", model="dac", relabel="yes")
        _text(label, "label", f"+{files.user}:+{files.user}")
    _place(domain)
    if machine.disks:
        domain.append(_without_holes(len(machine.disks)))
    ET.indent(domain)
    return ET.tostring(domain, encoding="unicode") + "\n"


def _place(domain: ET.Element) -> None:
    """Put the devices on the root bus: libvirt's way, a bridge for each, costs firmware and kernel time at every boot,
    and what it is for, plugging while the guest runs, is not done here. More devices than slots get bridges."""
    slots = iter(range(1, 0x1F))
    for element in domain.iterfind("devices/*"):
        if element.tag in ("disk", "filesystem", "interface", "rng") and (slot := next(slots, None)):
            ET.SubElement(element, "address", type="pci", bus="0x00", slot=f"0x{slot:02x}")


def _boot(domain: ET.Element, machine: Machine, files: Files) -> None:
    os = ET.SubElement(domain, "os")
    _text(os, "type", "hvm", arch="x86_64", machine="q35")
    if files.firmware:
        _text(os, "loader", str(files.firmware.code), readonly="yes", type="pflash")
        _text(os, "nvram", str(files.firmware.variables), template=str(files.firmware.template))
    if files.kernel:
        _text(os, "kernel", str(files.kernel))
        if files.initrd:
            _text(os, "initrd", str(files.initrd))
        _text(os, "cmdline", cmdline(machine))


def cmdline(machine: Machine) -> str:
    """The kernel's command line."""
    if not machine.kernel:
        return CMDLINE
    words = words_of(machine)
    return f"{FOREIGN_CMDLINE} init={words[0]}" if words[0] != INIT else FOREIGN_CMDLINE


def _features(domain: ET.Element, accelerator: Accelerator) -> None:
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")
    ET.SubElement(features, "apic")
    if accelerator is Accelerator.TCG:
        tcg = ET.SubElement(features, "tcg")
        _text(tcg, "tb-cache", str(TRANSLATION_CACHE_MIB), unit="MiB")


def _devices(machine: Machine, files: Files) -> ET.Element:
    devices = ET.Element("devices")
    _text(devices, "emulator", str(EMULATOR))
    # What is not there needs no memory, no probing and has no holes.
    ET.SubElement(devices, "controller", type="usb", model="none")
    ET.SubElement(devices, "memballoon", model="none")
    for index, item in enumerate(machine.disks):
        boots = machine.kind is MachineKind.IMAGE and index == 0
        devices.append(_disk(item.path, disk_name(index), boots=boots))
    if files.seed:
        devices.append(_disk(files.seed, disk_name(len(machine.disks)), read_only=True))
    if machine.kind is MachineKind.CONTAINER and machine.root is not None:
        # Nobody but the guest changes its root.
        devices.append(_share(Share(ROOT_TAG, machine.root, "/"), cache="always"))
    devices.extend(_share(share) for share in machine.shares)
    devices.extend(_nic(nic) for nic in machine.nics)
    rng = ET.SubElement(devices, "rng", model="virtio")
    _text(rng, "backend", "/dev/urandom", model="random")
    devices.append(_console(files))
    return devices


def _disk(path: Path, target: str, *, boots: bool = False, read_only: bool = False) -> ET.Element:
    disk = ET.Element("disk", type="file", device="disk")
    driver = ET.SubElement(disk, "driver", name="qemu", type="raw")
    if not read_only:
        # The guest's flushes reach the disk.
        driver.set("cache", "none" if not boots else "writeback")
        driver.set("discard", "ignore")
        driver.set("detect_zeroes", "off")
    ET.SubElement(disk, "source", file=str(path))
    ET.SubElement(disk, "target", dev=target, bus="virtio")
    if boots:
        ET.SubElement(disk, "boot", order="1")
    if read_only:
        ET.SubElement(disk, "readonly")
    return disk


def _without_holes(disks: int) -> ET.Element:
    """What libvirt has no words for: the guest's first disks make no holes."""
    override = ET.Element(f"{{{QEMU_NAMESPACE}}}override")
    for index in range(disks):
        device = ET.SubElement(override, f"{{{QEMU_NAMESPACE}}}device", alias=f"virtio-disk{index}")
        front = ET.SubElement(device, f"{{{QEMU_NAMESPACE}}}frontend")
        for name, kind, value in NO_HOLES:
            ET.SubElement(front, f"{{{QEMU_NAMESPACE}}}property", name=name, type=kind, value=value)
    return override


def _share(share: Share, cache: str = "") -> ET.Element:
    filesystem = ET.Element("filesystem", type="mount", accessmode="passthrough")
    ET.SubElement(filesystem, "driver", type="virtiofs", queue="1024")
    binary = ET.SubElement(filesystem, "binary", path=str(FILE_SERVER), xattr="on")
    # libvirt knows `none` and `always`; the file server's own `auto`, for what others change too, is to say nothing.
    if cache:
        ET.SubElement(binary, "cache", mode=cache)
    ET.SubElement(binary, "sandbox", mode="namespace")
    ET.SubElement(filesystem, "source", dir=str(share.path))
    ET.SubElement(filesystem, "target", dir=share.tag)
    return filesystem


def _nic(nic: Nic) -> ET.Element:
    interface = ET.Element("interface", type="ethernet")
    ET.SubElement(interface, "mac", address=nic.mac.lower())
    # The tap is networkd's: it exists, is up and belongs to a bridge.
    ET.SubElement(interface, "target", dev=nic.tap, managed="no")
    ET.SubElement(interface, "model", type="virtio")
    return interface


def _console(files: Files) -> ET.Element:
    serial = ET.Element("serial", type="unix")
    ET.SubElement(serial, "source", mode="bind", path=str(files.console_socket))
    ET.SubElement(serial, "log", file=str(files.console), append="on")
    ET.SubElement(serial, "target", type="isa-serial", port="0")
    return serial


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    element = ET.SubElement(parent, tag)
    element.attrib.update(attributes)
    element.text = text


def uuid_of(id: MachineId) -> uuid.UUID:
    """The same machine has the same UUID on every boot (guests bind licences and machine ids to it)."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"zos:machine:{id}")


@dataclass(frozen=True, slots=True)
class Mark:
    """What we wrote into a domain of ours."""

    digest: str
    accel: str


def parse_mark(metadata: str) -> Mark:
    """The mark in our metadata element."""
    element = ET.fromstring(metadata)  # noqa: S314 - libvirt's own output
    return Mark(element.get("digest", ""), element.get("accel", ""))


def has_efi_partition(start: bytes) -> bool:
    """Whether a disk's first sectors (34 of 512 bytes) list an EFI system partition, in a GPT or in an MBR."""
    if start[512:520] == b"EFI PART":
        efi = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b").bytes_le
        return any(start[at : at + 16] == efi for at in range(1024, len(start) - 127, 128))
    if start[510:512] == b"\x55\xaa":
        return any(start[446 + 16 * number + 4] == 0xEF for number in range(4))
    return False
