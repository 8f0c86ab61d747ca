"""flistd on a real kernel: FUSE and overlays in a throw-away node, with a real hub."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from flnode import STORE, A, B, a_source, fl_node
from netns import eventually

from zos.flistd.api import FetchForbidden, FlistBroken, FlistMismatch, Mount, MountKind, NoSuchFlist
from zos.runtime import seccomp

pytestmark = [pytest.mark.root, pytest.mark.timeout(90)]

RESENDS = tuple(map(int, os.uname().release.split("-")[0].split(".")[:2])) >= (6, 9)


async def test_a_mounted_flist_is_its_source(tmp_path: Path):
    source = a_source(tmp_path)
    async with fl_node() as here:
        built = here.make("a", source)
        info = await here.ensure("a")
        assert (info.flist, info.kind, info.kernel, info.initrd) == (
            built.hash,
            MountKind.CONTAINER,
            "/boot/vmlinuz-6",
            "",
        )
        assert (info.entrypoint, info.env, info.detail) == ("/bin/sh -c 'run me'", {"HOME": "/root"}, "")
        root = here.inside(info.path)
        here.node.sh(f"diff -r --no-dereference -x pipe {source} {info.path}")
        assert (root / "etc/link").readlink() == Path("hosts")
        for name in (".", "setuid", "etc/hosts", "pipe", "big"):
            ours, theirs = (root / name).lstat(), (source / name).lstat()
            for what in ("st_mode", "st_uid", "st_gid"):
                assert getattr(ours, what) == getattr(theirs, what), name
            assert int(ours.st_mtime) == int(theirs.st_mtime)
        assert os.getxattr(root / "setuid", "user.note") == b"kept"
        with pytest.raises(FileNotFoundError):
            (root / "nobody").stat()
        with pytest.raises(OSError, match="Read-only"):
            (root / "new").write_bytes(b"x")


async def test_an_archive_of_0_fs_is_mounted_as_its_source_and_then_needs_no_store(tmp_path: Path):
    source = a_source(tmp_path)
    (source / "pipe").unlink()  # which the archive calls a socket
    async with fl_node(f'store = "{STORE}"\nallowed = ["127.0.0.1:9900"]') as here:
        here.make_old("tf-official-apps/base:latest.flist", source)
        store = here.start_store()
        mount = Mount(A, "tf-official-apps/base:latest.flist", here.upper)
        info = await here.client.ensure_mount(mount)
        assert (info.kind, info.kernel, info.entrypoint, info.env, info.detail) == (
            MountKind.CONTAINER,
            "/boot/vmlinuz-6",
            "/bin/sh -c 'run me'",
            {"HOME": "/root"},
            "",
        )
        here.node.sh(f"diff -r --no-dereference {source} {info.path}; echo new > {info.path}/etc/new")
        for name in (".", "setuid", "etc/hosts", "etc/deep", "big"):
            ours, theirs = (here.inside(info.path) / name).lstat(), (source / name).lstat()
            for what in ("st_mode", "st_uid", "st_gid"):
                assert getattr(ours, what) == getattr(theirs, what), name
        assert int((here.inside(info.path) / "setuid").stat().st_mtime) == int((source / "setuid").stat().st_mtime)
        here.reboot()
        here.stop_hub()
        here.node.kill(store)
        await here.start()
        await eventually(lambda: len(here.mounts()) == 2)
        here.node.sh(f"cmp {source}/big {info.path}/big && cat {info.path}/etc/new")
        assert await here.client.list_mounts() == (info,)


async def test_an_archive_that_sends_the_node_inwards_or_is_spoilt_is_refused(tmp_path: Path):
    source = a_source(tmp_path)
    async with fl_node('store = "zdb://10.9.9.9:9900"') as here:
        here.make_old("a.fl", source)
        with pytest.raises(FetchForbidden, match=r"10\.9\.9\.9 is not a public address"):
            await here.ensure("a")
        path = here.folder / "hub/a.fl"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(FlistBroken, match=r"/a\.fl is no usable flist: it is cut off"):
            await here.ensure("a")
        assert [path.name for path in (here.folder / "cache/flists").glob("*/.*")] == []


async def test_reads_at_any_place_give_the_right_bytes(tmp_path: Path):
    source = a_source(tmp_path)
    want = (source / "big").read_bytes()
    async with fl_node() as here:
        here.make("a", source)
        info = await here.ensure("a")
        chance = random.Random(7)
        with (here.inside(info.path) / "big").open("rb", buffering=0) as file:
            for _ in range(100):
                offset, size = chance.randrange(len(want)), chance.choice([1, 100, 5000, 200_000, 2_000_000])
                assert os.pread(file.fileno(), size, offset) == want[offset : offset + size]
            assert os.pread(file.fileno(), 10, len(want)) == b""


async def test_a_writable_mount_takes_what_a_guest_does_and_keeps_it(tmp_path: Path):
    source = a_source(tmp_path)
    async with fl_node() as here:
        here.make("a", source)
        other = await here.ensure("a", B)
        info = await here.ensure("a", A, here.upper)
        script = f"""set -e; cd {info.path}
        echo changed >> etc/hosts; echo new > etc/new; rm big; mv etc/deep etc/moved; ln etc/new etc/hard
        chown 5:6 setuid; chmod 6711 setuid; mknod null c 1 3; mkfifo p2; ln -s /etc/new link
        rm -r boot; mkdir boot; touch boot/empty; chmod 1777 boot
        """
        here.node.sh(script)
        root = here.inside(info.path)
        os.setxattr(root / "etc/new", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
        os.setxattr(root / "etc/new", "user.mine", b"x")
        assert (root / "setuid").stat().st_mode & 0o7777 == 0o6711
        assert (root / ".").stat().st_mode & 0o7777 == 0o751
        await here.client.drop_mount(A)
        assert not root.exists()
        again = here.inside((await here.ensure("a", A, here.upper)).path)
        assert (again / "etc/hosts").read_bytes() == b"127.0.0.1 localhost\nchanged\n"
        assert (again / "etc/moved/er/file").read_bytes() == b"deep"
        assert sorted(os.listdir(again / "boot")) == ["empty"]
        assert not (again / "big").exists()
        assert os.getxattr(again / "etc/new", "user.mine") == b"x"
        here.node.sh(f"diff -r --no-dereference -x pipe {source} {other.path}")


async def test_mounts_of_one_flist_share_one_server_and_the_last_drop_ends_it(tmp_path: Path):
    source = a_source(tmp_path)
    async with fl_node() as here:
        here.make("a", source)
        await here.ensure("a", A)
        # The second process of a server comes after the mount.
        await eventually(lambda: len(here.servers()) == 2)
        servers = here.servers()
        await here.ensure("a", B, here.upper)
        assert here.servers() == servers
        assert len(here.mounts()) == 3
        await here.client.drop_mount(A)
        assert here.servers() == servers
        await here.client.drop_mount(B)
        assert here.mounts() == []
        await eventually(lambda: here.servers() == [])
        assert [path.name for path in (here.folder / "mnt").iterdir()] == [".trees"]
        assert list((here.folder / "mnt/.trees").iterdir()) == []


async def test_who_serves_a_flist_has_no_capability_left(tmp_path: Path):
    # It decodes blocks of stores that nobody knows.
    source = a_source(tmp_path)
    async with fl_node() as here:
        here.make("a", source)
        info = await here.ensure("a", A)
        assert (here.inside(info.path) / "etc/hosts").read_bytes() == b"127.0.0.1 localhost\n"
        servers = here.servers()
        assert len(servers) == 2
        for pid in servers:
            lines = dict(line.split(":", 1) for line in here.node.sh(f"cat /proc/{pid}/status").splitlines())
            for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
                assert int(lines[name], 16) == 0, (pid, name)
            assert lines["NoNewPrivs"].strip() == "1"
            if seccomp.available():
                assert lines["Seccomp"].strip() == "2"


async def test_killing_flistd_leaves_the_mounts_and_the_next_one_touches_nothing(tmp_path: Path):
    source = a_source(tmp_path)
    async with fl_node() as here:
        here.make("a", source)
        info = await here.ensure("a", A, here.upper)
        await eventually(lambda: len(here.servers()) == 2)
        before, servers = here.mounts(), here.servers()
        here.kill()
        assert (here.inside(info.path) / "etc/hosts").read_bytes() == b"127.0.0.1 localhost\n"
        (here.folder / "flistd.log").write_text("")
        await here.start()
        assert await here.ensure("a", A, here.upper) == info
        assert (here.mounts(), here.servers()) == (before, servers)
        log = (here.folder / "flistd.log").read_text()
        assert "mount" not in log
        assert "serve" not in log


@pytest.mark.skipif(not RESENDS, reason="before Linux 6.9 the kernel does not repeat requests: the mount is made anew")
async def test_what_forks_servers_is_no_servers_parent_and_is_there_again_when_it_is_needed(tmp_path: Path):
    async with fl_node() as here:
        here.make("a", a_source(tmp_path))
        here.make("b", a_source(tmp_path / "other"))
        first = await here.ensure("a")
        (parent,) = here.nursery()
        served = here.servers()
        assert all(here.node.sh(f"ps -o ppid= -p {pid}").split() != [str(parent)] for pid in served)
        here.node.sh(f"kill -9 {parent}")
        second = await here.ensure("b", B)
        assert here.nursery() not in ([], [parent])
        assert set(served) < set(here.servers())
        here.kill()
        await eventually(lambda: not here.nursery(), 10)
        for info in (first, second):
            assert (here.inside(info.path) / "etc/hosts").read_bytes()


async def test_readers_do_not_notice_when_the_answering_process_is_killed(tmp_path: Path):
    source = a_source(tmp_path)
    async with fl_node() as here:
        here.make("a", source)
        info = await here.ensure("a", A)
        before = here.mounts()
        reading = asyncio.create_task(
            asyncio.to_thread(
                here.node.sh,
                f"for i in $(seq 40); do cmp {source}/big {info.path}/big || exit 1;"
                "echo 1 > /proc/sys/vm/drop_caches; done",
                deadline=60,
            )
        )
        eldest = here.servers()[0]
        for _ in range(6):
            await eventually(lambda: len(here.servers()) == 2)
            here.node.sh(f"kill -9 {here.servers()[-1]}")
            await asyncio.sleep(0.1)
        await reading
        assert here.mounts() == before
        assert here.servers()[0] == eldest


async def test_a_mount_whose_server_is_gone_is_made_again_with_its_writable_layer(tmp_path: Path):
    source = a_source(tmp_path)
    async with fl_node() as here:
        here.make("a", source)
        info = await here.ensure("a", A, here.upper)
        other = await here.ensure("a", B)
        here.node.sh(f"echo mine > {info.path}/mine")
        here.node.sh(f"kill -9 {' '.join(map(str, here.servers()))}")
        await eventually(lambda: any("-2" in line.split()[0] for line in here.mounts()))
        await eventually(lambda: len(here.mounts()) == 3 and not any("-1 " in line for line in here.mounts()))
        root = here.inside(info.path)
        assert (root / "mine").read_bytes() == b"mine\n"
        assert (root / "big").read_bytes() == (source / "big").read_bytes()
        assert (here.inside(other.path) / "etc/hosts").exists()
        assert await here.client.list_mounts() == (info, other)


async def test_hostile_and_torn_flists_are_refused_and_nothing_is_left(tmp_path: Path):
    async with fl_node() as here:
        bad = tmp_path / "bad"
        bad.mkdir()
        (bad / "image.raw").symlink_to("/etc/shadow")
        here.make("link", bad)
        whole = here.make("whole", a_source(tmp_path)).path.read_bytes()
        (here.folder / "hub/torn.fl").write_bytes(whole[: len(whole) // 2])
        (here.folder / "hub/page.fl").write_bytes(b"<html>")
        for name, problem in (
            ("link", r"/image.raw leads to no file inside the flist"),
            ("torn", "malformed|disk image"),
            ("page", "another kind of file"),
        ):
            with pytest.raises(FlistBroken, match=problem):
                await here.ensure(name)
        with pytest.raises(FlistMismatch):
            await here.ensure("whole", hash="0" * 64)
        with pytest.raises(NoSuchFlist, match="404"):
            await here.ensure("nobody")
        assert (await here.client.list_mounts(), here.mounts(), here.servers()) == ((), [], [])


async def test_a_private_address_is_refused_unless_the_farmer_allows_it(tmp_path: Path):
    source = a_source(tmp_path)
    async with fl_node() as here:
        here.make("a", source)
        here.node.sh("ip addr add 10.9.9.9/32 dev lo")
        with pytest.raises(FetchForbidden, match=r"10\.9\.9\.9 is not a public address"):
            await here.client.ensure_mount(Mount(A, "http://10.9.9.9:8080/a.fl"))
    async with fl_node('allowed = ["10.9.9.0/24"]') as here:
        here.make("a", source)
        here.node.sh("ip addr add 10.9.9.9/32 dev lo; ip link set lo up")
        here.stop_hub()
        here.start_hub("0.0.0.0:8080")
        assert (await here.client.ensure_mount(Mount(A, "http://10.9.9.9:8080/a.fl"))).flist
