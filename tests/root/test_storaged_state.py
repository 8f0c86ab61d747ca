"""A node's state on real file systems: made once, found again, and never made beside one that is away."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from disks import Node, node_below

from zos.storaged import state
from zos.storaged.host import LinuxHost, btrfs
from zos.storaged.model import Layout
from zos.storaged.state import State

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]


@pytest.fixture
async def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    monkeypatch.setattr(state, "SETTLED", 0.0)
    monkeypatch.setattr(state, "PAUSE", 0.05)
    async with node_below(tmp_path) as made:
        yield made


def boot(node: Node, *disks: Path) -> State:
    """What the node's first program does, with these disks in the machine."""
    layout = Layout(node.folder / "mnt", node.folder / "cache")
    return State(LinuxHost(layout, [str(disk) for disk in disks]), layout, node.folder / "state", node.folder / "why")


async def test_a_state_is_made_once_and_found_again_and_storaged_takes_its_pool(node: Node) -> None:
    a, b = node.disk("a"), node.disk("b")
    label = await boot(node, a, b).mount()
    (node.folder / "state" / "key").write_text("secret")
    client = await node.up(a, b)
    pools = {pool.name: pool.state for pool in await client.list_pools()}
    assert len(pools) == 2
    assert pools[label] == "ready"
    node.kill()
    node.unmount()
    assert not (node.folder / "state" / "key").exists()
    assert await boot(node, b, a).mount() == label
    assert (node.folder / "state" / "key").read_text() == "secret"


async def test_without_the_disk_of_the_state_nothing_begins_until_it_is_back(node: Node) -> None:
    a, b = node.disk("a"), node.disk("b")
    label = await boot(node, a).mount()
    await node.up(a, b)
    node.kill()
    node.unmount()
    why = node.folder / "why"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await boot(node, b, node.disk("blank")).mount()
    assert "bring the missing disk back" in why.read_text()
    node.unmount()
    assert await boot(node, b, a).mount() == label
    assert why.read_text() == ""


async def test_a_first_boot_that_is_cut_off_after_its_pool_was_made_goes_on(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cut(Exception):
        """The power goes."""

    def cut(path: Path) -> None:
        raise Cut

    a = node.disk("a")
    with monkeypatch.context() as patched:
        patched.setattr(btrfs, "create_subvolume", cut)
        with pytest.raises(Cut):
            await boot(node, a).mount()
    node.unmount()
    label = await boot(node, a).mount()
    assert [path.name for path in (node.folder / "mnt").iterdir()] == [label]
