"""What flists may take of the cache, the refused ones too."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from zos.flist.errors import FlistBroken
from zos.flist.policy import StorePolicy
from zos.flistd.api.errors import NoRoom
from zos.flistd.host.library import Library

MIB = 1 << 20


@asynccontextmanager
async def serving(files: dict[str, bytes]) -> AsyncIterator[str]:
    async def file(request: web.Request) -> web.Response:
        return web.Response(body=files[request.path])

    app = web.Application()
    app.router.add_get("/{path:.*}", file)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def kept(library: Library) -> list[Path]:
    return [path for path in (library.cache / "flists").rglob("*") if path.is_file()]


@pytest.mark.process
async def test_what_is_refused_is_not_kept(tmp_path: Path) -> None:
    library = Library(tmp_path, StorePolicy(("127.0.0.1",)), 100 * MIB)
    async with serving({f"/{number}.fl": os.urandom(MIB) for number in range(3)}) as url:
        for number in range(3):
            with pytest.raises(FlistBroken):
                await library.obtain(f"{url}/{number}.fl", "", "1")
    assert not kept(library)
    library.close()


async def test_a_flist_beyond_the_limit_is_a_refusal_that_says_what_is_missing(tmp_path: Path) -> None:
    library = Library(tmp_path, StorePolicy(("127.0.0.1",)), 2 * MIB)
    old = library.folder("0" * 64)
    old.mkdir(parents=True)
    (old / "flist.fl").write_bytes(bytes(MIB))
    async with serving({"/large.fl": os.urandom(4 * MIB)}) as url:
        with pytest.raises(NoRoom, match="MiB are missing"):
            await library.obtain(f"{url}/large.fl", "", "1")
        assert old.exists(), "it may be in use, as nobody said yet what is"
        library.tidy(())
        with pytest.raises(NoRoom, match="8 MiB are missing"):
            await library.obtain(f"{url}/large.fl", "", "1")
    assert not kept(library), "what is out of use made way"
    library.close()


async def test_a_full_disk_is_a_refusal_and_no_bug_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(tmp_path, StorePolicy(("127.0.0.1",)), 100 * MIB)

    async def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(library, "_get", full)
    with pytest.raises(NoRoom, match="No space left"):
        await library.obtain("http://127.0.0.1:1/a.fl", "", "1")
    library.close()
