"""The relay's life: from its settings to SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import ssl

from zos.fetch.policy import Policy
from zos.relay.allowance import Limit
from zos.relay.command import BadOptions, Settings
from zos.relay.federation import Federation
from zos.relay.server import Relay, serving
from zos.rmb.account import chain_twins
from zos.rmb.twins import TwinCache
from zos.runtime.clock import SystemClock
from zos.runtime.notify import notify
from zos.substrate import Chain

KEEP = 60.0
"""Seconds that a twin's key and relay are believed."""


async def serve(wanted: Settings) -> None:
    """Until SIGTERM or SIGINT."""
    clock = SystemClock()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    tls = (*wanted.listen_tls, _context(wanted)) if wanted.listen_tls else None
    limit = Limit(*wanted.limit) if wanted.limit else None
    async with Chain(wanted.chain) as chain, Federation(clock, Policy(wanted.allowed, neighbours=True)) as federation:
        relay = Relay(TwinCache(chain_twins(chain), clock, KEEP), wanted.domain, clock, federation, limit)
        async with serving(relay, *wanted.listen, tls):
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
