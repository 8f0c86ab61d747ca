"""Opens a store and serves it until SIGTERM."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from zos.errors import Status, ZosError
from zos.runtime.program import stop_signals
from zos.zdb.command import Options
from zos.zdb.hooks import Hooks
from zos.zdb.server import Server
from zos.zdb.session import Settings
from zos.zdb.store import Store


class DiskFailed(ZosError):
    """A sync failed: what was written may be lost, and nothing more can be promised."""

    reason = "zdb.disk_failed"
    status = Status.INTERNAL
    text = "a write did not reach the disk below {folder}"
    hint = "look at the disk (`dmesg`); what was acknowledged before is safe, and the server can be started again"


class NotReady(ZosError):
    """The administrator's program refused the event `ready`."""

    reason = "zdb.not_ready"
    status = Status.FAILED_PRECONDITION
    text = "the hook {program} ended with status {status} when it was told `ready`"


async def serve(options: Options, say: Callable[[str], None], stopping: asyncio.Event | None = None) -> None:
    """Serve until `stopping` (else SIGTERM or SIGINT); raises ZosError."""
    store = Store(options.index, options.data, is_sequential=options.is_sequential, data_size=options.data_size)
    try:
        store.open()
        if stopping is not None:
            await _serve(store, options, say, stopping)
            return
        async with stop_signals() as signalled:
            await _serve(store, options, say, signalled)
    finally:
        store.close()


async def _serve(store: Store, options: Options, say: Callable[[str], None], stopping: asyncio.Event) -> None:
    hooks = Hooks(options.hook, int(time.time() * 1000) & 0x7FFFFFFF)
    await hooks.ask("namespaces-init", str(store.index), str(store.data))
    server = Server(store, Settings(options.admin, options.is_protected, options.sync), hooks)
    try:
        port = await server.listen(options.listen, options.port)
        if options.socket is not None:
            await server.listen_unix(options.socket)
        if status := await hooks.ask("ready"):
            raise NotReady(program=options.hook, status=status)
        say(f"0-db listens on {options.listen} port {port}")
        ends = [asyncio.ensure_future(event.wait()) for event in (stopping, server.failed)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        if server.failed.is_set():
            raise DiskFailed(folder=store.data)
    finally:
        await server.close()
        await hooks.ask("close")
