"""A disk's 0-db on real btrfs, with the user, the rights and the view of files that core-0 leaves zdbd."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from disks import ROOT, Node

from zos.core0 import parts
from zos.core0.api import NotYourPart
from zos.core0.units import UNITS
from zos.model.units import Bytes, MiB
from zos.runtime import cgroup, linux, users
from zos.runtime.folders import hand_over
from zos.storaged.api import Evidence, EvidenceKind, NoPool, PoolKind, Volume, VolumeId, VolumeInfo
from zos.zdb.tests.replay import Client

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

EVIDENCE = Evidence(EvidenceKind.SIGNED_UPDATE, 7, 1234, "version 1 has none of it")
PORT = 9900
SIZES = (("small", MiB(16)), ("large", MiB(64)))
# It becomes zdbd as the zygote does, has its disk's process serve what it is told, and ends with its standard input.
PROGRAM = """
import asyncio, json, sys
from pathlib import Path
from zos.core0.units import UNITS
from zos.core0.zygote import confine, order
from zos.zdbd.host import LinuxHost
from zos.zdbd.model import Desired, Space
from zos.zdbd.steps import StartServer, Tell

run, state, told = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
confine(order(next(unit for unit in UNITS if unit.name == "zdbd"), run, state))

async def serve():
    host = LinuxHost(run / "zdbd")
    spaces = tuple(Space(id, path, size, False, "pw", False, False) for id, path, size in told)
    await host.apply((StartServer("pool"), Tell("pool", Desired(9900, ("::1",), True, spaces))))
    report = (await host.observe("pool")).report
    print(report.problem, {id: space.problem for id, space in report.spaces.items()}, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await host.close()

asyncio.run(serve())
"""


@contextmanager
def serving(folder: Path, *volumes: VolumeInfo) -> Iterator[subprocess.Popen[str]]:
    """The process of the disk with these volumes, each with twice its size as the limit on live values."""
    run, state = folder / "run", folder / "state"
    for one in (run, state):
        one.mkdir(exist_ok=True)
        one.chmod(0o711)
        hand_over(one / "zdbd", users.ZDBD, users.ZDBD, 0o711)
        for other in UNITS:
            (one / other.name).mkdir(exist_ok=True)
    told = json.dumps([(volume.id, str(volume.path), 2 * volume.size) for volume in volumes])
    argv = [sys.executable, "-c", PROGRAM, str(run), str(state), told]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f" {dict.fromkeys((volume.id for volume in volumes), '')}\n"
        yield process
    finally:
        process.communicate(timeout=30)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    # Not below pytest's own folder, which only root enters.
    with tempfile.TemporaryDirectory(dir="/run") as folder:
        os.chmod(folder, 0o711)
        made = Node(Path(folder))
        (made.folder / "mnt").mkdir(mode=0o711)
        try:
            yield made
        except BaseException:
            sys.stderr.write(made.said())
            raise
        finally:
            await made.bus.close()
            made.end()


HUNGRY = """
import os, sys
pids = []
for _ in range(40):
    try:
        pid = os.fork()
    except BlockingIOError:
        break
    if pid == 0:
        sys.stdin.read(1)
        os._exit(0)
    pids.append(pid)
print(len(pids), flush=True)
for pid in pids:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
sys.stdin.readline()
print(len(bytes(1 << 27).replace(b"\\0", b"x")), flush=True)
"""


async def test_a_part_of_zdbd_that_takes_too_much_ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = cgroup.find(linux.mounts())
    if trees.missing:
        pytest.skip(f"this machine has no cgroups of {', '.join(trees.missing)}")
    (unit,) = (unit for unit in UNITS if unit.name == "zdbd")
    monkeypatch.setattr(parts, "limits", lambda *_: cgroup.Limits(1 << 26, 20, 1))
    argv = [sys.executable, "-c", "input();" + HUNGRY]
    children = [subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        hungry, other = children
        assert await parts.confine(unit, os.getpid(), hungry.pid, "disk-a") == ()
        with pytest.raises(NotYourPart):
            await parts.confine(unit, hungry.pid, other.pid, "disk-b")
        group = Path(f"/proc/{hungry.pid}/cgroup").read_text()
        assert group.count(f"/{cgroup.PARENT}/{cgroup.name_of('zdbd-disk-a')}\n") == len(set(trees.roots.values()))
        assert cgroup.PARENT not in Path(f"/proc/{other.pid}/cgroup").read_text()
        said = []
        for child in children:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write("\n")
            child.stdin.flush()
            said.append(int(child.stdout.readline()))
        assert said == [19, 40]
        assert [child.communicate("\n", timeout=30)[0] for child in children] == ["", f"{1 << 27}\n"]
        assert [child.returncode for child in children] == [-signal.SIGKILL, 0]
    finally:
        for child in children:
            child.kill()
            child.communicate()
        cgroup.sweep(trees)


async def selected(volume: VolumeInfo) -> Client:
    client = await Client.to(PORT, "::1")
    assert await client.command(b"SELECT", volume.id.encode(), b"pw") == b"+OK\r\n"
    return client


async def test_a_full_namespace_is_refused_keeps_what_it_has_and_fills_no_other(node: Node) -> None:
    disk = node.disk("hdd.img")
    node.config = f'hdd = ["{disk}"]'
    client = await node.up(disk)
    small, large = (Volume(VolumeId(f"26-7-{name}"), Bytes(size), PoolKind.HDD, users.ZDBD) for name, size in SIZES)
    volumes = [await client.ensure_volume(one) for one in (small, large)]
    with pytest.raises(NoPool):
        await client.ensure_volume(Volume(VolumeId("26-7-other"), MiB(8)))
    stored = 0
    with serving(node.folder, *volumes):
        first, second = [await selected(volume) for volume in volumes]
        value = os.urandom(1 << 16)
        while (answer := await first.command(b"SET", b"%d" % stored, value)).startswith(b"$"):
            stored += 1
            assert stored < 400
        assert answer == b"-No space left on this namespace\r\n"
        # Half of the least of it is usable, whatever btrfs takes for itself.
        assert stored * len(value) > small.size / 2
        assert await first.command(b"GET", b"0") == b"$65536\r\n" + value + b"\r\n"
        assert await second.command(b"SET", b"key", value) == b"$3\r\nkey\r\n"
        for one in (first, second):
            await one.close()
    files = {path.stat().st_uid for path in volumes[0].path.rglob("*")}
    assert files == {users.ZDBD}
    with serving(node.folder, *volumes):
        first = await selected(volumes[0])
        assert await first.command(b"DBSIZE") == b":%d\r\n" % stored
        await first.close()
    await client.drop_volume(small.id, EVIDENCE)
    assert [one.id for one in await client.list_tombstones()] == [small.id]


def test_zdbd_keeps_none_of_roots_rights() -> None:
    (unit,) = (unit for unit in UNITS if unit.name == "zdbd")
    assert (unit.capabilities, unit.key_uses) == ((), ())
    assert unit.walled
