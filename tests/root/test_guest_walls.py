"""What a QEMU that its guest has taken over can do: every try as its user, against another guest, libvirtd and vmd."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from netns import eventually
from vmnode import VmNode, tree, vm_node

from zos.bus import Unreachable
from zos.images import guest
from zos.model.capacity import machine_memory
from zos.model.units import MiB
from zos.runtime import cgroup, linux, users
from zos.vmd.api import Machine, MachineDisk, MachineId, MachineKind, MachineState, VmdClient
from zos.vmd.domain import uuid_of

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]

OWN, OTHER = MachineId("7543-1234567-frontend_server"), MachineId("26-11-other")
"""The first one's name is longer than libvirt lets it be in the names of its files."""

# It becomes a user and says which of the tries worked.
PROBE = r"""
import ctypes, json, os, socket, sys
user, pid, files, sockets, folders = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
os.setgroups([])
os.setresgid(user, user, user)
os.setresuid(user, user, user)

def connect(path):
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(path)

def attach():
    if libc.ptrace(0x4206, pid, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    libc.ptrace(17, pid, 0, 0)

tries = {"signal": lambda: os.kill(pid, 0), "trace": attach}
tries["memory"] = lambda: open(f"/proc/{pid}/mem", "rb").close()
tries["root"] = lambda: os.listdir(f"/proc/{pid}/root/")
for path in files:
    tries[f"read {path}"] = lambda path=path: os.close(os.open(path, os.O_RDONLY))
    tries[f"write {path}"] = lambda path=path: os.close(os.open(path, os.O_WRONLY))
for path in sockets:
    tries[f"connect {path}"] = lambda path=path: connect(path)
for path in folders:
    tries[f"list {path}"] = lambda path=path: os.listdir(path)
    tries[f"make {path}/x"] = lambda path=path: os.rmdir(os.mkdir(f"{path}/x") or f"{path}/x")
done = []
for what, attempt in tries.items():
    try:
        attempt()
    except PermissionError:
        continue
    except OSError:
        pass  # from behind the wall: a socket that has its one client, say
    done.append(what)
print(json.dumps([len(tries), done]))
"""


@pytest.fixture
def here() -> Iterator[VmNode]:
    asyncio.run(guest.build())
    with vm_node("walls") as made:
        yield made


def disk_of(here: VmNode, id: MachineId) -> Path:
    return here.folder / f"disk-{id}"


@contextlib.asynccontextmanager
async def both(here: VmNode) -> AsyncIterator[VmdClient]:
    """Two machines that run, each with a disk."""
    root = tree(here.folder)
    here.vmd()
    async with here.bus() as bus:
        client = VmdClient(bus)
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(Unreachable):
                    await client.acceleration()
                    break
                await asyncio.sleep(0.05)
        for id in (OWN, OTHER):
            disk = disk_of(here, id)
            disk.touch(mode=0o600)
            os.truncate(disk, MiB(16))
            machine = Machine(
                *(id, "box", MachineKind.CONTAINER, 1, MiB(256), root),
                disks=(MachineDisk(disk, "/data"),),
                entrypoint="/sbin/talk",
            )
            assert (await client.ensure_machine(machine)).state is MachineState.RUNNING
        yield client


def pid_of(here: VmNode, id: MachineId) -> int:
    return int(here.node.sh(f"cat /run/libvirt/qemu/{id}.pid"))


def user_of(here: VmNode, id: MachineId) -> int:
    return int(here.node.sh(f"stat -c %u /proc/{pid_of(here, id)}"))


def attempt(here: VmNode, user: int, id: MachineId) -> tuple[int, list[str]]:
    """How many things were tried against a machine as a user, and which of them worked."""
    volatile = here.node.run_dir / "vmd/m" / uuid_of(id).hex[:16]
    (domain,) = here.node.sh(f"ls -d /var/lib/libvirt/qemu/domain-*-{id[:20]}").split()
    state = here.folder / "state/vmd"
    files = [disk_of(here, id), state / f"consoles/{id}.log", f"/run/libvirt/qemu/{id}.xml", f"{domain}/master-key.aes"]
    sockets = [volatile / "tty", f"{domain}/monitor.sock", f"{domain}/fs0-fs.sock"]
    sockets += [here.node.run_dir / "vmd/bus.sock", "/run/libvirt/libvirt-sock"]
    folders = [domain, volatile, state, state / "wishes", here.node.run_dir / "vmd", "/etc"]
    # `/etc` may be listed by anybody.
    wanted = [user, pid_of(here, id), *([str(one) for one in kind] for kind in (files, sockets, folders))]
    tried, done = json.loads(here.node.sh(shlex.join([sys.executable, "-c", PROBE, json.dumps(wanted)])))
    return tried, sorted(set(done) - {"list /etc"})


async def test_a_qemu_that_its_guest_has_taken_over_reaches_no_other_guest_and_no_daemon(here: VmNode):
    async with both(here):
        own, other = user_of(here, OWN), user_of(here, OTHER)
        assert own != other
        assert {own, other} <= set(users.GUESTS)
        tried, done = attempt(here, own, OTHER)
        assert tried >= 29
        assert done == []
        # What it may do to its own, so that the tries are known to be ones; and root may do it all.
        _, done = attempt(here, own, OWN)
        assert {"signal", f"read {disk_of(here, OWN)}", f"write {disk_of(here, OWN)}"} <= set(done)
        tried, done = attempt(here, 0, OTHER)
        assert tried - len(done) <= 1


async def test_a_guest_has_a_group_with_limits_for_as_long_as_it_runs(here: VmNode):
    trees = cgroup.find(linux.mounts())
    if trees.missing:
        pytest.skip(f"this machine has no cgroups of {', '.join(trees.missing)}")
    async with both(here) as client:
        pid = pid_of(here, OWN)
        groups = here.node.sh(f"cat /proc/{pid}/cgroup")
        (name,) = {line.rpartition("/")[2] for line in groups.splitlines() if cgroup.PARENT in line}
        memory = Path(trees.roots["memory"], cgroup.PARENT, name)
        (limit,) = (memory / file for file in ("memory.max", "memory.limit_in_bytes") if (memory / file).exists())
        assert abs(int(limit.read_text()) - machine_memory(MiB(256))) < 4096
        # Its file server, and that one's child, are in it too; the names that libvirt gives are the real ones.
        assert len((memory / "cgroup.procs").read_text().split()) >= 3
        (note,) = here.node.sh(f"ls /run/libvirt/qemu | grep '^[0-9]*-{OWN[:20]}-fs0-fs.pid'").split()
        assert f"{cgroup.PARENT}/{name}" in here.node.sh(f"cat /proc/$(cat /run/libvirt/qemu/{note})/cgroup")
        assert int(Path(trees.roots["pids"], cgroup.PARENT, name, "pids.max").read_text()) < 1000
        assert int(here.node.sh(f"cat /proc/{pid}/oom_score_adj")) >= 0
        await client.drop_machine(OWN)
        await client.drop_machine(OTHER)
        # libvirt's hook removes it, and libvirt calls that after its answer.
        await eventually(lambda: not memory.exists())
