"""The parts of the real host that need no libvirtd."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import libvirt
import pytest

from zos.model.units import MiB
from zos.runtime.cgroup import Trees
from zos.vmd import libvirtd, notes
from zos.vmd.api import GuestAssetsMissing, Machine, MachineDisk, MachineId, MachineKind, Share, StartFailed
from zos.vmd.host import kvm
from zos.vmd.host.files import MOST_INITRD, MOST_KERNEL, BootFiles, copy_out, format_disk, is_blank
from zos.vmd.host.machines import dead_shares, judge
from zos.vmd.model import GuestState


def container(root: Path, **more: object) -> Machine:
    return Machine(MachineId("a"), "a", MachineKind.CONTAINER, 1, MiB(256), root=root, **more)  # type: ignore[arg-type]


def test_a_disk_is_blank_only_when_nothing_was_written(tmp_path: Path):
    disk = tmp_path / "disk"
    disk.touch()
    os.truncate(disk, 1 << 30)
    assert is_blank(disk)
    with disk.open("r+b") as file:
        file.seek(700 << 20)
        file.write(bytes(8192))
    assert is_blank(disk), "zeros are nothing"
    with disk.open("r+b") as file:
        file.seek((1 << 30) - 1)
        file.write(b"x")
    assert not is_blank(disk)


def test_only_blank_disks_that_are_to_be_mounted_are_formatted(tmp_path: Path):
    files = BootFiles(tmp_path / "run", tmp_path / "state", tmp_path / "guest")
    blank, raw, used = (tmp_path / name for name in ("blank", "raw", "used"))
    for path in (blank, raw):
        path.touch()
        os.truncate(path, 1 << 20)
    used.write_bytes(b"somebody's")
    disks = (MachineDisk(blank, "/a"), MachineDisk(raw), MachineDisk(used, "/b"))
    ((path, note),) = files.to_format(container(tmp_path, disks=disks))
    assert path == blank
    note.parent.mkdir(parents=True)
    note.write_text(str(blank))
    blank.write_bytes(b"half a file system")
    assert files.to_format(container(tmp_path, disks=disks)) == ((blank, note),), "interrupted, so done again"
    note.write_text(str(raw))
    assert files.to_format(container(tmp_path, disks=disks)) == (), "the note of another disk says nothing"


def test_a_name_in_a_tree_never_leads_out_of_it(tmp_path: Path):
    root, outside = tmp_path / "root", tmp_path / "secret"
    (root / "boot").mkdir(parents=True)
    outside.write_text("the node's")
    (root / "secret").write_text("the tenant's")
    (root / "boot/up").symlink_to("../../../../secret")
    (root / "boot/absolute").symlink_to("/secret")
    for name in ("boot/up", "/boot/absolute", "../secret"):
        assert copy_out(root, name, tmp_path / f"copy{len(name)}", MOST_KERNEL).read_text() == "the tenant's"
    os.mkfifo(root / "pipe")
    for name in ("pipe", "boot", "missing", "boot/../../../pipe"):
        with pytest.raises(OSError, match=name.split("/")[-1]):
            copy_out(root, name, tmp_path / "copy", MOST_KERNEL)
    assert not (tmp_path / "copy").exists()


def test_a_kernel_of_a_tenant_takes_no_memory_of_the_node_and_not_much_of_its_disk(tmp_path: Path):
    root, id = tmp_path / "root", MachineId("a")
    (root / "boot").mkdir(parents=True)
    files = BootFiles(tmp_path / "run", tmp_path / "state", tmp_path / "guest")
    sizes = {"kernel": MOST_KERNEL, "initrd": MOST_INITRD}
    for name, size in sizes.items():
        (root / "boot" / name).touch()
        os.truncate(root / "boot" / name, size)
    machine = container(root, kernel="/boot/kernel", initrd="/boot/initrd")
    tracemalloc.start()
    made = files.make(machine, tmp_path / "console")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MiB(8)
    for path, size in ((made.kernel, MOST_KERNEL), (made.initrd, MOST_INITRD)):
        assert path is not None
        assert path.is_relative_to(tmp_path / "state"), "the run folder is memory"
        assert path.stat().st_size == size
    files.release(id)
    assert not [path for name in sizes for path in (tmp_path / "state").glob(f"*/{name}")]
    os.truncate(root / "boot/initrd", MOST_INITRD + 1)
    with pytest.raises(StartFailed, match="the most is 256 MiB"):
        files.make(machine, tmp_path / "console")
    assert not list((tmp_path / "state").glob("*/kernel")), "what was copied before the refusal went too"


def test_what_a_machine_lacks_is_named(tmp_path: Path):
    files = BootFiles(tmp_path / "run", tmp_path / "state", tmp_path / "guest")
    root = tmp_path / "root"
    root.mkdir()
    assert files.missing(container(root)) == f"its root {root}", "an empty directory is a mount to come"
    (root / "bin").mkdir()
    assert files.missing(container(root)) == ""
    assert "disk" in files.missing(container(root, disks=(MachineDisk(tmp_path / "no"),)))
    assert "share" in files.missing(container(root, shares=(Share("s", tmp_path / "no", "/s"),)))


def test_a_boot_gets_its_files_and_a_drop_takes_them(tmp_path: Path):
    guest, root, id = tmp_path / "guest", tmp_path / "root", MachineId("a")
    files = BootFiles(tmp_path / "run", tmp_path / "state", guest)
    root.mkdir()
    with pytest.raises(GuestAssetsMissing):
        files.make(container(root), tmp_path / "console")
    guest.mkdir()
    (guest / "vmlinux").write_bytes(b"kernel")
    (guest / "initramfs").write_bytes(bytes(512))
    made = files.make(container(root, env={"TOKEN": "hush"}), tmp_path / "console")
    assert made.initrd is not None
    assert b"TOKEN=hush" in made.initrd.read_bytes()
    assert made.initrd.stat().st_mode & 0o777 == 0o600
    assert len(str(files.socket(id))) - len(str(tmp_path)) < 40
    with pytest.raises(StartFailed, match="vmlinuz"):
        files.make(container(root, kernel="/boot/vmlinuz"), tmp_path / "console")
    (root / "boot").mkdir()
    (root / "boot/vmlinuz").write_bytes(b"theirs")
    made = files.make(container(root, kernel="/boot/vmlinuz"), tmp_path / "console")
    assert made.kernel is not None
    assert (made.kernel.read_bytes(), made.initrd) == (b"theirs", None)
    assert made.seed is not None
    files.forget(id)
    assert not files.volatile(id).exists()


@pytest.mark.process
async def test_the_note_of_a_formatting_goes_when_the_file_system_is_on_the_disk_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    disk, note = tmp_path / "disk", tmp_path / "notes" / "formatting-0"
    note.parent.mkdir()
    with disk.open("wb") as file:
        file.truncate(MiB(32))
    synced: list[tuple[str, bool]] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        synced.append((os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")), note.exists()))

    monkeypatch.setattr(os, "fsync", watched)
    await format_disk(disk, note)
    assert synced[-2:] == [("disk", True), ("notes", False)]


@pytest.mark.parametrize(
    ("state", "reason", "meaning"),
    [
        (libvirt.VIR_DOMAIN_RUNNING, 1, GuestState.RUNNING),
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER, GuestState.PAUSED),
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR, GuestState.STALLED),
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP, GuestState.ENDING),
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_UNKNOWN, GuestState.BROKEN),
        (libvirt.VIR_DOMAIN_CRASHED, 0, GuestState.BROKEN),
        (libvirt.VIR_DOMAIN_SHUTDOWN, 1, GuestState.ENDING),
    ],
)
def test_libvirts_words_in_ours(state: int, reason: int, meaning: GuestState):
    assert judge(state, reason)[0] is meaning


def test_a_file_server_that_ended_is_noticed(tmp_path: Path):
    machine = container(Path("/r"), shares=(Share("logs", Path("/l"), "/l"),))
    (tmp_path / "7-a-fs0-fs.pid").write_text(f"{os.getpid()}\n")
    (tmp_path / "7-a-fs1-fs.pid").write_text("99999999\n")
    (tmp_path / "6-a-fs0-fs.pid").write_text("99999999\n")
    assert dead_shares(tmp_path, 7, machine) == ("logs",)
    assert dead_shares(tmp_path, 5, machine) == ()
    (tmp_path / "a.pid").write_text("12\n")
    assert (notes.qemu(tmp_path, "a"), notes.qemu(tmp_path, "b")) == (12, 0)


@pytest.mark.parametrize(
    ("reason", "seconds", "usable", "word"),
    [
        (5, 0.002, True, "ran"),
        (5, 0.03, False, "emulated"),
        (17, 0.002, False, "internal error"),
        (8, 0.002, False, "exit reason 8"),
    ],
)
def test_kvm_is_judged_by_how_a_trial_guest_ends(reason: int, seconds: float, usable: bool, word: str):
    verdict = kvm.judge(reason, seconds)
    assert verdict[0] is usable
    assert word in verdict[1]


def test_an_absent_kvm_is_no_kvm(tmp_path: Path):
    usable, why = kvm.probe(tmp_path / "kvm")
    assert not usable
    assert "cannot be opened" in why


def test_libvirtd_is_configured_and_starts_no_network_of_its_own(tmp_path: Path):
    networks = tmp_path / "qemu/networks/autostart"
    networks.mkdir(parents=True)
    (networks / "default.xml").symlink_to("../default.xml")
    libvirtd.configure(Trees(0, {}), tmp_path)
    assert list(networks.iterdir()) == []
    assert 'stdio_handler = "file"' in (tmp_path / "qemu.conf").read_text()
    assert "max_client_requests" in (tmp_path / "libvirtd.conf").read_text()
