"""The relay's life: from its settings to SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from zos.fetch.policy import Policy
from zos.relay.command import BadOptions, Settings
from zos.relay.federation import Federation
from zos.relay.quota import Limit
from zos.relay.server import Relay, serving
from zos.relay.spool import Disk
from zos.rmb.account import chain_twins, follow_twins
from zos.rmb.twins import TwinCache
from zos.runtime.clock import SystemClock
from zos.runtime.notify import notify
from zos.runtime.program import stop_signals
from zos.runtime.proxies import Proxies
from zos.substrate import Chain

KEEP = 60.0
"""Seconds that a twin's key and relay are believed while no block says that they have changed."""


async def serve(wanted: Settings) -> None:
    """Until SIGTERM or SIGINT."""
    clock = SystemClock()
    tls = (*wanted.listen_tls, _context(wanted)) if wanted.listen_tls else None
    limit = Limit(*wanted.limit) if wanted.limit else None
    policy = Policy(wanted.allowed, neighbours=True)
    async with contextlib.AsyncExitStack() as stack:
        stopping = await stack.enter_async_context(stop_signals())
        chain = await stack.enter_async_context(Chain(wanted.chain))
        federation = await stack.enter_async_context(Federation(clock, policy))
        disk = Disk(wanted.data) if wanted.data else None
        if disk is not None:
            await stack.enter_async_context(disk.running())
        twins, proxies = TwinCache(chain_twins(chain), clock, KEEP), Proxies(wanted.proxies)
        relay = Relay(twins, wanted.domain, clock, federation, limit, spool=disk, proxies=proxies)
        if disk is not None:
            relay.restore(disk.load())
        following = asyncio.create_task(follow_twins(chain, twins))
        stack.callback(following.cancel)
        await stack.enter_async_context(serving(relay, *wanted.listen, tls))
        notify("READY=1")
        await stopping.wait()


def _context(wanted: Settings) -> ssl.SSLContext:
    assert wanted.certificate is not None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(*wanted.certificate)
    except (OSError, ssl.SSLError) as err:
        files = " and ".join(map(str, wanted.certificate))
        raise BadOptions(problem=f"{files} cannot be used as a certificate and its key: {err}") from None
    return context
