"""Domains, compared with files that are read in review (ZOS_GOLDEN=write makes them anew)."""

from __future__ import annotations

import os
import struct
import uuid
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from zos.model.units import GiB, MiB
from zos.vmd import domain
from zos.vmd.api import Accelerator, Machine, MachineDisk, MachineId, MachineKind, Nic, Share
from zos.vmd.digest import digest
from zos.vmd.domain import Files, Firmware

GOLDEN = Path(__file__).resolve().parents[3] / "tests/golden/vmd"
RUN, STATE = Path("/run/zos/vmd/m/0123456789abcdef"), Path("/var/lib/zos/vmd")
CONSOLE = STATE / "consoles/26-11-vm1.log"
ID = MachineId("26-11-vm1")
NIC = Nic("t-AbE3zNtFw21Fr", "EE:5B:B5:FF:9B:4B", ("10.20.2.5/24",), "10.20.2.1")
CONTAINER = Machine(
    ID,
    "vm1",
    MachineKind.CONTAINER,
    2,
    MiB(512),
    root=Path("/var/lib/zos/flistd/m1"),
    disks=(MachineDisk(Path("/mnt/pool/disks/d1"), "/data"), MachineDisk(Path("/mnt/pool/disks/d2"))),
    shares=(Share("logs", Path("/mnt/pool/volumes/v1"), "/logs"),),
    nics=(NIC,),
    env={"SECRET": "hush"},
    entrypoint="/sbin/web --port 80",
)
FOREIGN = Machine(
    ID,
    "vm1",
    MachineKind.CONTAINER,
    1,
    GiB(1),
    root=Path("/var/lib/zos/flistd/m1"),
    kernel="/boot/vmlinuz",
    initrd="/boot/initrd.img",
    entrypoint="/sbin/zinit init",
)
IMAGE = Machine(ID, "vm1", MachineKind.IMAGE, 1, GiB(2), disks=(MachineDisk(Path("/mnt/d/d1")),), nics=(NIC,))
OWN = Files(CONSOLE, RUN / "tty", Path("/usr/lib/zos/guest/vmlinux"), RUN / "initrd")
FIRMWARE = Firmware(
    Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd"), STATE / "machines/0/efivars.fd"
)
CASES = {
    "container-tcg.xml": (CONTAINER, OWN, Accelerator.TCG),
    "container-kvm.xml": (CONTAINER, OWN, Accelerator.KVM),
    "container-own-kernel.xml": (
        FOREIGN,
        Files(CONSOLE, RUN / "tty", RUN / "kernel", RUN / "initrd", RUN / "seed.img"),
        Accelerator.TCG,
    ),
    "image-bios.xml": (IMAGE, Files(CONSOLE, RUN / "tty", seed=RUN / "seed.img"), Accelerator.KVM),
    "image-uefi.xml": (
        IMAGE,
        Files(CONSOLE, RUN / "tty", seed=RUN / "seed.img", firmware=FIRMWARE),
        Accelerator.TCG,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_domain_is_the_reviewed_one(name: str):
    machine, files, accelerator = CASES[name]
    xml = domain.render(machine, files, accelerator)
    if os.environ.get("ZOS_GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        (GOLDEN / name).write_text(xml)
    assert xml == (GOLDEN / name).read_text()


def test_nothing_secret_stands_in_a_domain():
    assert "hush" not in domain.render(CONTAINER, OWN, Accelerator.TCG)


def test_what_was_marked_is_read_back():
    shown = ET.fromstring(domain.render(CONTAINER, OWN, Accelerator.TCG))
    element = shown.find(f"metadata/{{{domain.NAMESPACE}}}machine")
    assert element is not None
    mark = domain.parse_mark(ET.tostring(element, encoding="unicode"))
    assert (mark.digest, mark.accel) == (digest(CONTAINER), "tcg")


def test_a_machine_with_more_devices_than_slots_still_has_a_domain():
    shares = tuple(Share(f"s{n}", Path(f"/s/{n}"), f"/s/{n}") for n in range(40))
    machine = Machine(ID, "vm1", MachineKind.CONTAINER, 1, MiB(512), root=Path("/r"), shares=shares)
    slots = [a.get("slot") for a in ET.fromstring(domain.render(machine, OWN, Accelerator.TCG)).iter("address")]
    assert len(slots) == len(set(slots)) == 30


def test_a_machine_keeps_its_uuid_and_no_other_has_it():
    assert domain.uuid_of(ID) == domain.uuid_of(MachineId("26-11-vm1")) != domain.uuid_of(MachineId("26-11-vm2"))


def test_a_disk_with_an_efi_partition_is_known():
    efi = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b").bytes_le
    gpt = bytes(512) + b"EFI PART" + bytes(504) + bytes(128) + efi + bytes(112) + bytes(34 * 512 - 1280)
    mbr = bytes(446) + struct.pack("<4B4BII", 0x80, 0, 0, 0, 0xEF, 0, 0, 0, 2048, 99) + bytes(48) + b"\x55\xaa"
    assert domain.has_efi_partition(gpt)
    assert domain.has_efi_partition(mbr)
    assert not domain.has_efi_partition(gpt.replace(efi, bytes(16)))
    assert not domain.has_efi_partition(mbr.replace(b"\xef", b"\x83"))
    assert not domain.has_efi_partition(b"")
    assert not domain.has_efi_partition(bytes(34 * 512))
