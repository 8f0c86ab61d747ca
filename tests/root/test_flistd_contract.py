"""The fake host keeps the real one's promise: the same claims, asked of both through the API."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from flnode import HUB, A, B, fl_node

from zos.flist.info import Info
from zos.flistd.api import FlistdClient, FlistMismatch, FlistUnreachable, Mount, MountKind, NoSuchFlist
from zos.flistd.daemon import Config, Flistd
from zos.flistd.fake import FakeHost
from zos.flistd.host.contract import Content
from zos.runtime.config import NodeConfig
from zos.runtime.testing import running

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]

STARTUP = '[startup.entry.args]\nname = "/init"\nenv = {A = "b"}\n'


@dataclass
class Side:
    """A flistd, with a container and an image on its hub."""

    client: FlistdClient
    upper: Path
    container: str
    image: str
    stop_hub: Callable[[], None]


@contextlib.asynccontextmanager
async def real(folder: Path) -> AsyncIterator[Side]:
    async with fl_node() as here:
        for name, file, data in (("container", ".startup.toml", STARTUP), ("image", "image.raw", "x" * 1000)):
            (folder / name).mkdir()
            (folder / name / file).write_text(data)
            here.make(name, folder / name)
        hashes = here.built["container"].hash, here.built["image"].hash
        yield Side(here.client, here.upper, *hashes, here.stop_hub)


@contextlib.asynccontextmanager
async def fake(folder: Path) -> AsyncIterator[Side]:
    container = Content("c" * 64, Info(entrypoint="/init", env={"A": "b"}))
    image = Content("1" * 64, Info(image="/image.raw", image_size=1000))
    nothing = NoSuchFlist(url=f"{HUB}/nothing.fl", status=404)
    host = FakeHost(web={f"{HUB}/container.fl": container, f"{HUB}/image.fl": image, f"{HUB}/nothing.fl": nothing})
    async with running(Flistd, folder, host=host, config=Config(every=0.2), node=NodeConfig(hub=HUB)) as rt:
        yield Side(FlistdClient(rt.bus), Path("/volume/root"), container.flist, image.flist, host.web.clear)


@pytest.fixture(params=["fake", "real"])
async def side(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Side]:
    async with (fake if request.param == "fake" else real)(tmp_path) as made:
        yield made


async def test_a_mount_is_there_until_it_is_dropped(side: Side):
    info = await side.client.ensure_mount(Mount(A, "container.fl", side.upper))
    assert (info.flist, info.kind, info.entrypoint, info.env) == (
        side.container,
        MountKind.CONTAINER,
        "/init",
        {"A": "b"},
    )
    assert (info.path.name, info.url, info.detail) == (A, f"{HUB}/container.fl", "")
    assert await side.client.ensure_mount(Mount(A, "container.fl", side.upper)) == info
    assert await side.client.list_mounts() == (info,)
    await side.client.drop_mount(A)
    assert await side.client.list_mounts() == ()
    await side.client.drop_mount(A)


async def test_a_changed_request_is_mounted_anew(side: Side):
    await side.client.ensure_mount(Mount(A, "container.fl"))
    info = await side.client.ensure_mount(Mount(A, "image.fl", hash=side.image))
    assert (info.flist, info.kind, info.image, info.image_size) == (side.image, MountKind.IMAGE, "/image.raw", 1000)


async def test_another_content_than_asked_for_is_refused(side: Side):
    with pytest.raises(FlistMismatch):
        await side.client.ensure_mount(Mount(A, "container.fl", hash=side.image))
    assert await side.client.list_mounts() == ()


async def test_what_the_hub_does_not_have_is_refused(side: Side):
    with pytest.raises(NoSuchFlist, match="404"):
        await side.client.ensure_mount(Mount(A, "nothing.fl"))
    assert await side.client.list_mounts() == ()


async def test_what_cannot_be_fetched_now_stays_accepted(side: Side):
    side.stop_hub()
    with pytest.raises(FlistUnreachable):
        await side.client.ensure_mount(Mount(A, "container.fl"))
    (waiting,) = await side.client.list_mounts()
    assert waiting.flist == ""
    assert "cannot be fetched" in waiting.detail


async def test_a_content_that_is_here_needs_no_hub(side: Side):
    await side.client.ensure_mount(Mount(A, "container.fl"))
    side.stop_hub()
    async with asyncio.timeout(20):
        info = await side.client.ensure_mount(Mount(B, "anything.fl", hash=side.container))
    assert info.flist == side.container
