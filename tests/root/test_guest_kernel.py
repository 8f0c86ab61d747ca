"""What a container's flist need not bring: kernel modules, a file for name servers, disks of the size that was paid."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_vmd import asks, becomes, client_of, container, says
from vmnode import VmNode, vm_node

from zos.images import guest
from zos.model.units import GiB
from zos.vmd.api import MachineDisk, MachineState, Nic

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]


@pytest.fixture
def here() -> Iterator[VmNode]:
    asyncio.run(guest.build())
    with vm_node("gk") as made:
        yield made


async def test_a_flist_without_modules_has_them_and_odd_files_are_no_trouble(here: VmNode) -> None:
    disk = here.folder / "disk"
    disk.touch()
    os.truncate(disk, GiB(1))
    machine = container(
        here,
        disks=(MachineDisk(disk, "/data/below"),),
        nameservers=("192.0.2.53",),
        env={"GREETING": "hi", "odd.name": "1", "-u": "2"},
    )
    assert machine.root is not None
    # An image may have made it a folder, or a link to what only its init would make.
    (machine.root / "etc/resolv.conf").mkdir()
    (machine.root / "etc/resolv.conf/stub").touch()
    here.vmd()
    async with client_of(here) as client:
        assert (await client.ensure_machine(machine)).state is MachineState.RUNNING
        await says(client, "ready")
        assert (await asks(client, "cat /etc/resolv.conf")).strip() == "nameserver 192.0.2.53"
        # By name, and by the kernel itself, which asks for what a call needs.
        for line in (
            "busybox modprobe wireguard && busybox modprobe overlay && busybox modprobe nf_tables",
            "ip link add v0 type veth peer name v1",
            "ip link add b0 type bridge",
            "mkdir -p /tmp/o/l /tmp/o/u /tmp/o/w /tmp/o/m",
            "mount -t tmpfs t /tmp/o/u && mkdir /tmp/o/u/u /tmp/o/u/w",
            "mount -t overlay -o lowerdir=/etc,upperdir=/tmp/o/u/u,workdir=/tmp/o/u/w o /tmp/o/m",
        ):
            await asks(client, line.replace("busybox", "/bin/busybox").replace("mkdir", "/bin/busybox mkdir"))
        shown = await asks(client, "df -h /data/below")
        assert shown.split()[-5] in ("1.0G", "1024.0M"), shown
        # A shell keeps for itself what it cannot name.
        assert "odd.name=1" in await asks(client, "/bin/busybox tr '\\0' '\\n' < /proc/1/environ")
        before = (await asks(client, "cat /proc/uptime")).split()[0]
        await asks(client, "/bin/busybox modprobe btrfs")
        print(f"btrfs is loaded in {float((await asks(client, 'cat /proc/uptime')).split()[0]) - float(before):.2f} s")
        phases = (await client.machine(machine.id)).phases
        print(f"root {phases['root']:.2f} s, entrypoint {phases['entrypoint']:.2f} s")
        assert (await client.machine(machine.id)).detail == ""


async def test_a_guest_that_no_name_server_answers_says_so_and_one_that_is_answered_does_not(here: VmNode) -> None:
    here.node.sh("ip tuntap add t-1 mode tap && ip link set t-1 up && ip addr add 10.9.0.1/24 dev t-1")
    nic = Nic("t-1", "02:00:00:00:09:02", ("10.9.0.2/24",), "10.9.0.1")
    machine = container(here, nics=(nic,), nameservers=("10.9.0.1",))
    here.vmd()
    async with client_of(here) as client:
        await client.ensure_machine(machine)
        closed = await becomes(client, lambda info: info.detail)
        assert closed.detail.startswith("no name server answered when it started, of 10.9.0.1")
        options = "-k -C /dev/null --no-resolv --no-hosts --address=/#/ --user=nobody --pid-file="
        here.node.start("dnsmasq", *options.split(), log="dns.log")
        await client.ensure_machine(dataclasses.replace(machine, env={"GREETING": "again"}))
        await says(client, "with again and")
        await asks(client, "while /bin/busybox ps | /bin/busybox grep -q '[n]slookup'; do /bin/busybox sleep 0.2; done")
        assert "no name server" not in (await client.machine(machine.id)).detail


async def test_a_guest_that_was_paused_has_the_time_again(here: VmNode) -> None:
    here.vmd()
    machine = container(here)
    async with client_of(here) as client:
        await client.ensure_machine(machine)
        await says(client, "ready")
        await client.ensure_machine(dataclasses.replace(machine, paused=True))
        await asyncio.sleep(8)
        await client.ensure_machine(machine)

        async def behind() -> float:
            return time.time() - float(await asks(client, "/bin/busybox date +%s"))

        print(f"{await behind():.0f} s behind")
        async with asyncio.timeout(60):
            while await behind() > 3.5:
                await asyncio.sleep(1)
