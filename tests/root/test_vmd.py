"""vmd on a libvirtd and a kernel of its own: containers boot under TCG, end, come back, and outlive everything else."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from efidisk import efi_disk
from netns import until
from vmnode import VmNode, tree, vm_node

from zos.bus import Unreachable
from zos.images import guest
from zos.model.units import GiB, MiB
from zos.runtime.threads import CallTooSlow
from zos.vmd.api import (
    LibvirtUnreachable,
    Machine,
    MachineDisk,
    MachineId,
    MachineInfo,
    MachineKind,
    MachineState,
    Nic,
    NoSuchMachine,
    PartsMissing,
    Route,
    Share,
    StartFailed,
    VmdClient,
)

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]

BOOT = 60.0
"""A boot takes 3 s on an idle machine; the bound is for a busy one."""
ID = MachineId("26-11-vm1")


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guest kernel and initramfs, made where setup makes them."""
    asyncio.run(guest.build())
    return guest.OUT


@pytest.fixture
def here(assets: Path) -> Iterator[VmNode]:
    with vm_node("vm") as made:
        yield made


@contextlib.asynccontextmanager
async def client_of(node: VmNode) -> AsyncIterator[VmdClient]:
    """The client of the node's vmd, when it answers."""
    async with node.bus() as bus:
        client = VmdClient(bus)
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(Unreachable):
                    await client.acceleration()
                    break
                await asyncio.sleep(0.05)
        yield client


def container(node: VmNode, **changes: object) -> Machine:
    """A container whose first process talks."""
    machine = Machine(
        ID, "box", MachineKind.CONTAINER, 1, MiB(256), root=tree(node.folder), entrypoint="/sbin/talk a 'b c'"
    )
    return dataclasses.replace(machine, **changes)  # type: ignore[arg-type]


async def says(client: VmdClient, text: str, id: MachineId = ID) -> str:
    """Wait until the console of the last boot holds a text; returns what came since it began."""
    async with asyncio.timeout(BOOT):
        while True:
            shown = (await client.read_console(id, 100_000)).decode(errors="replace")
            boot = shown[max(shown.rfind("[zos] start"), 0) :]
            if text in boot:
                return boot
            await asyncio.sleep(0.05)


async def becomes(client: VmdClient, claim: Callable[[MachineInfo], object]) -> MachineInfo:
    async with asyncio.timeout(BOOT):
        while True:
            info = await client.machine(ID)
            if claim(info):
                return info
            await asyncio.sleep(0.05)


async def asks(client: VmdClient, line: str, id: MachineId = ID) -> str:
    """Have the guest run a shell line; returns what it printed."""
    before = len(await client.read_console(id, 100_000))
    await client.send_console(id, f"run {line}\n".encode())
    async with asyncio.timeout(BOOT):
        while True:
            text = (await client.read_console(id, 100_000))[before:].decode(errors="replace")
            if found := re.search(r"\ndone (\d+)", text):
                assert found[1] == "0", text
                return text[: found.start()].partition("\n")[2].replace("\r", "")
            await asyncio.sleep(0.05)


async def test_a_container_boots_with_all_that_it_was_given(here: VmNode):
    node = here.node
    node.sh("ip tuntap add t-1 mode tap && ip link set t-1 up")
    node.sh("ip addr add 10.9.0.1/24 dev t-1 && ip addr add fd09::1/64 dev t-1 nodad")
    disk, share = node.folder / "disk", node.folder / "share"
    disk.touch()
    os.truncate(disk, GiB(1))
    share.mkdir()
    (share / "note").write_text("from the node")
    nic = Nic(
        "t-1",
        "02:00:00:00:09:02",
        ("10.9.0.2/24", "fd09::2/64"),
        "10.9.0.1",
        "fd09::1",
        (Route("10.77.0.0/16", "10.9.0.1"),),
    )
    machine = container(
        here,
        disks=(MachineDisk(disk, "/data"),),
        shares=(Share("s0", share, "/mnt/shared"),),
        nics=(nic,),
        env={"GREETING": "it's a 'good' day", "SSH_KEY": "ssh-ed25519 AAAA me"},
        nameservers=("9.9.9.9",),
    )
    here.vmd()
    async with client_of(here) as client:
        assert (await client.ensure_machine(machine)).state is MachineState.RUNNING
        boot = await says(client, "ready")
        assert "hello from box as 1 with it's a 'good' day and a b c" in boot
        assert "warning" not in boot
        info = await client.machine(ID)
        assert sorted(info.phases, key=info.phases.__getitem__) == ["userland", "root", "entrypoint"]
        assert 0 < info.phases["userland"] <= info.phases["entrypoint"]
        assert "fd09::2/64" in await asks(client, "ip addr")
        routes = await asks(client, "ip route; ip -6 route")
        assert "default via 10.9.0.1" in routes
        assert "10.77.0.0/16 via 10.9.0.1" in routes
        assert "default via fd09::1" in routes
        for address in ("10.9.0.2", "fd09::2"):
            assert node.ok(f"busybox ping -c1 -W2 {address}")
        given = await asks(client, "cat /etc/resolv.conf /root/.ssh/authorized_keys /mnt/shared/note /etc/hostname")
        assert [line for line in given.splitlines() if line] == [
            "nameserver 9.9.9.9",
            "ssh-ed25519 AAAA me",
            "from the nodebox",
        ]
        assert "/dev/vda on /data type ext4" in await asks(client, "mount")
        # No guest makes holes in a disk, be it asked or not (see NO_HOLES).
        assert (
            await asks(client, "cd /sys/block/vda/queue; cat discard_max_bytes write_zeroes_max_bytes")
        ).split() == ["0", "0"]
        shown = here.virsh(f"qemu-monitor-command {ID} --hmp 'info qtree'")
        assert "max-write-zeroes-sectors = 0" in shown
        await asks(client, "echo kept > /data/file && echo back > /mnt/shared/answer && sync")
        assert (share / "answer").read_text() == "back\n"
        # A larger file is a larger disk for the guest, without a restart.
        os.truncate(disk, GiB(2))
        await client.ensure_machine(machine)
        assert str(GiB(2)) in await asks(client, "blockdev --getsize64 /dev/vda")
        # What was written is still there for the next boot: a disk that holds something is never formatted again.
        changed = dataclasses.replace(machine, env={"GREETING": "again"})
        assert (await client.ensure_machine(changed)).restarts == 1
        await says(client, "with again and")
        assert "kept" in await asks(client, "cat /data/file")
        # It grew meanwhile, and this image has nothing that could grow the file system.
        told = await becomes(client, lambda info: info.detail)
        assert "the file system at /data is smaller than its disk; to grow it: resize2fs /dev/vda" in told.detail


async def test_a_guest_outlives_vmd_and_libvirtd_and_nothing_touches_it(here: VmNode):
    machine = container(here)
    vmd = here.vmd()
    async with client_of(here) as client:
        first = await client.ensure_machine(machine)
        await says(client, "ready")
        here.node.kill(vmd)
    here.vmd()
    async with client_of(here) as client:
        info = await client.machine(ID)
        assert (info.state, info.pid, info.restarts) == (MachineState.RUNNING, first.pid, 0)
        assert (await client.ensure_machine(machine)).pid == first.pid
        assert "alive" in await asks(client, "echo alive")
        # libvirtd goes: the guest is not affected, calls say why, and vmd finds it again by itself.
        here.node.sh("kill -9 $(cat /run/libvirtd.pid)")
        info = await becomes(client, lambda info: "libvirt does not answer" in info.detail)
        assert info.state is MachineState.RUNNING
        assert "still here" in await asks(client, "echo still here")
        with pytest.raises(LibvirtUnreachable):
            await client.ensure_machine(dataclasses.replace(machine, id=MachineId("other")))
        await client_drop_later(client, MachineId("other"))
        here.libvirtd()
        info = await becomes(client, lambda info: not info.detail)
        assert (info.state, info.pid, info.restarts) == (MachineState.RUNNING, first.pid, 0)


async def client_drop_later(client: VmdClient, id: MachineId) -> None:
    """A drop that is accepted and cannot be done yet."""
    with contextlib.suppress(LibvirtUnreachable):
        await client.drop_machine(id)


async def test_a_crash_is_told_backed_off_and_mended_and_a_drop_ends_it(here: VmNode):
    here.vmd()
    async with client_of(here) as client:
        await client.ensure_machine(container(here))
        await says(client, "ready")
        await client.send_console(ID, b"exit 3\n")
        info = await becomes(client, lambda info: info.state is MachineState.BACKOFF)
        assert info.detail == "its entrypoint ended with status 3"
        assert 0 < info.next_try - info.since < 3
        info = await becomes(client, lambda info: info.state is MachineState.RUNNING)
        assert info.restarts == 1
        await says(client, "ready")
        # QEMU is killed: the console cannot tell, and the second failure in a row waits longer.
        os.kill(outside(here, info.pid), signal.SIGKILL)
        info = await becomes(client, lambda info: info.state is MachineState.BACKOFF)
        assert info.detail == "its QEMU ended"
        assert 3 < info.next_try - info.since < 5
        shown = (await client.read_console(ID, 200_000)).decode()
        assert "exitcode=0x00000300" in shown, "the console outlives the guest"
        await client.drop_machine(ID)
        with pytest.raises(NoSuchMachine):
            await client.machine(ID)
        assert here.virsh("list --all --name").strip() == ""
        assert not here.node.ok("pgrep qemu-system || pgrep virtiofsd")
        left = [path for path in (here.folder / "state").rglob("*") if path.is_file()]
        assert left == []
        assert not list((here.node.run_dir / "vmd/m").iterdir())


def outside(node: VmNode, pid: int) -> int:
    """A pid of the node's as the machine counts."""
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            found = re.search(r"^NSpid:\t(\d+)\t(\d+)$", status.read_text(), re.MULTILINE)
            same = os.readlink(status.parent / "ns/pid") == os.readlink(f"/proc/{node.node.pid}/ns/pid")
            if found and same and int(found[2]) == pid:
                return int(found[1])
    raise AssertionError(f"no process {pid}")


async def test_a_machine_is_paused_and_goes_on_and_a_dead_file_server_is_noticed(here: VmNode):
    machine = container(here)
    here.vmd()
    async with client_of(here) as client:
        first = await client.ensure_machine(machine)
        await says(client, "ready")
        paused = await client.ensure_machine(dataclasses.replace(machine, paused=True))
        assert (paused.state, paused.pid) == (MachineState.PAUSED, first.pid)
        assert "paused" in here.virsh("list")
        again = await client.ensure_machine(machine)
        assert (again.state, again.pid) == (MachineState.RUNNING, first.pid)
        assert "on" in await asks(client, "echo on")
        here.node.sh("pkill -9 virtiofsd")
        info = await becomes(client, lambda info: info.state is MachineState.BACKOFF)
        assert "vroot" in info.detail
        await becomes(client, lambda info: info.state is MachineState.RUNNING)
        await says(client, "ready")


async def started(client: VmdClient, machine: Machine) -> MachineInfo | None:
    """The machine as it was started, or None when the call has to be made again."""
    with contextlib.suppress(CallTooSlow):
        return await client.ensure_machine(machine, deadline=BOOT)
    return None


async def test_a_machine_that_hangs_in_libvirt_holds_up_no_other(here: VmNode):
    one, two = container(here), container(here, id=MachineId("two"))
    here.vmd()
    async with client_of(here) as client:
        first = await client.ensure_machine(one)
        await says(client, "ready")
        # A stopped QEMU answers nothing: whoever asks its monitor waits.
        os.kill(outside(here, first.pid), signal.SIGSTOP)
        hanging = asyncio.create_task(client.ensure_machine(dataclasses.replace(one, paused=True), deadline=90))
        async with asyncio.timeout(BOOT):
            # A busy libvirt may need longer for a look than a look may take.
            while (info := await started(client, two)) is None:
                pass
        assert info.state is MachineState.RUNNING
        assert not hanging.done()
        assert len(await client.list_machines()) == 2
        await says(client, "ready", MachineId("two"))
        os.kill(outside(here, first.pid), signal.SIGCONT)
        assert (await hanging).state is MachineState.PAUSED


async def test_what_cannot_start_says_why_and_is_tried_again(here: VmNode):
    machine = container(here, entrypoint="/sbin/nothing")
    here.vmd("every = 2.0\n")
    async with client_of(here) as client:
        root = machine.root
        assert root is not None
        with pytest.raises(PartsMissing, match="root"):
            await client.ensure_machine(dataclasses.replace(machine, root=root / "tmp"))
        (root / "tmp/bin").mkdir()
        await becomes(client, lambda info: info.state is MachineState.RUNNING)
        await client.ensure_machine(machine)
        info = await becomes(client, lambda info: info.state is MachineState.BACKOFF)
        assert "/sbin/nothing" in info.detail
        (root / "boot").mkdir()
        (root / "boot/vmlinuz").write_text("no kernel at all")
        with pytest.raises(StartFailed):
            await client.ensure_machine(dataclasses.replace(machine, kernel="/boot/vmlinuz"))
        (root / "boot/passwd").symlink_to("/etc/passwd")
        with pytest.raises(StartFailed, match="passwd"):
            await client.ensure_machine(dataclasses.replace(machine, kernel="/boot/passwd"))


async def test_the_capabilities_of_its_unit_are_enough(here: VmNode):
    unit = Path(__file__).with_name("unit.py")
    words = (str(unit), "vmd", str(here.node.run_dir), f"{here.folder}/state")
    # In the one folder that it may write to, since no pool is mounted here.
    disk = here.folder / "state/vmd/disk"
    disk.touch()
    os.truncate(disk, MiB(64))
    machine = container(here, disks=(MachineDisk(disk, "/data"),))
    here.vmd(program=words)
    async with client_of(here) as client:
        await client.ensure_machine(machine)
        await says(client, "ready")
        assert "/data" in await asks(client, "mount")
        await client.ensure_machine(dataclasses.replace(machine, paused=True))
        await client.drop_machine(ID)


async def test_a_whole_image_boots_by_its_own_firmware(here: VmNode):
    disk = await asyncio.to_thread(efi_disk, here.folder)
    machine = Machine(ID, "box", MachineKind.IMAGE, 1, MiB(512), disks=(MachineDisk(disk),))
    here.vmd()
    async with client_of(here) as client:
        await client.ensure_machine(machine)
        await says(client, "image guest is up")
        assert "cidata" in here.node.sh(f"blkid -p {here.node.run_dir}/vmd/m/*/seed.img")
        assert "OVMF_CODE" in here.virsh(f"dumpxml {ID}")
        await client.send_console(ID, b"you\n")
        await says(client, "heard you")
        await client.drop_machine(ID)


async def test_a_libvirtd_that_is_slow_to_come_is_waited_for(here: VmNode):
    here.node.sh("kill -9 $(cat /run/libvirtd.pid)")
    until(lambda: not here.node.ok("pgrep libvirtd"))
    here.vmd()
    async with client_of(here) as client:
        with pytest.raises(LibvirtUnreachable):
            await client.ensure_machine(container(here))
        here.libvirtd()
        await becomes(client, lambda info: info.state is MachineState.RUNNING)
        await says(client, "ready")


async def test_what_a_guest_breaks_out_into_sees_no_key_no_socket_and_changes_no_system(here: VmNode):
    for folder in (here.folder / "state/core0", here.node.run_dir / "core0"):
        here.node.sh(f"mkdir -p {folder} && touch {folder}/key.json")
    inside = "nsenter -m -r -w -t $(cat /run/libvirtd.pid)"
    assert here.node.sh(f"{inside} ls {here.folder}/state").split() == ["vmd"]
    assert here.node.sh(f"{inside} ls {here.node.run_dir}").split() == ["vmd"]
    for path in ("/usr/zos-test", "/root/zos-test", "/etc/zos-test"):
        assert not here.node.ok(f"{inside} touch {path}")
    assert here.node.ok(f"{inside} touch /var/lib/libvirt/zos-test")
    assert "seccomp_sandbox = 1" in here.node.sh("cat /etc/libvirt/qemu.conf")
