"""A guest whose root is a flist: virtiofs over an overlay over FUSE, all real.

The flist is one of 0-fs' archives; the lab's machines start from `.fl`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from flnode import STORE, A, FlNode
from netns import until
from vmnode import tree, vm_node

from zos.bus import Unreachable
from zos.flistd.api import FlistdClient
from zos.images import guest
from zos.model.units import MiB
from zos.vmd.api import Machine, MachineId, MachineKind, VmdClient

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

ID = MachineId("m")


async def test_a_guest_starts_from_a_flist_writes_to_its_layer_and_outlives_its_file_server(tmp_path: Path):
    await guest.build()
    with vm_node("flg") as node:
        node.vmd()
        async with node.bus() as bus:
            here = FlNode(node.node, FlistdClient(bus), config=f'store = "{STORE}"\nallowed = ["127.0.0.1:9900"]')
            node.node.sh(
                f"mkdir {here.folder}/volume && mount -t tmpfs tmpfs {here.folder}/volume && mkdir {here.upper}"
            )
            here.make_old("guest.fl", tree(tmp_path))
            here.start_store()
            here.start_hub()
            await here.start()
            info = await here.ensure("guest", A, here.upper)
            vmd = VmdClient(bus)
            async with asyncio.timeout(20):
                while True:
                    with contextlib.suppress(Unreachable):
                        await vmd.acceleration()
                        break
                    await asyncio.sleep(0.05)
            machine = Machine(ID, "m", MachineKind.CONTAINER, 1, MiB(256), root=info.path, entrypoint="/sbin/talk")
            await vmd.ensure_machine(machine)

            console = here.folder / f"state/vmd/consoles/{ID}.log"

            async def said(text: str) -> None:
                await asyncio.to_thread(until, lambda: console.exists() and text in console.read_text(), 60)

            try:
                await said("ready")
                await vmd.send_console(ID, b"run echo written > /etc/mine && sync; echo one-$?\n")
                await said("one-0")
                assert (here.inside(here.upper) / "rw/etc/mine").read_bytes() == b"written\n"
                before = here.servers()
                node.node.sh(f"kill -9 {before[-1]}")
                await vmd.send_console(ID, b"run wc -c /bin/busybox; echo two-$?\n")
                await said("two-0")
            except BaseException:
                sys.stderr.write((console.read_text() if console.exists() else "") + node.node.logs() + here.log())
                raise
            finally:
                await vmd.drop_machine(ID)
