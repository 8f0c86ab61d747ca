"""The relay's life: from its settings to SIGTERM."""

from __future__ import annotations

import ssl

from zos.fetch.policy import Policy
from zos.relay.command import BadOptions, Settings
from zos.relay.federation import Federation
from zos.relay.quota import Limit
from zos.relay.server import Relay, serving
from zos.rmb.account import chain_twins
from zos.rmb.twins import TwinCache
from zos.runtime.clock import SystemClock
from zos.runtime.notify import notify
from zos.runtime.program import stop_signals
from zos.substrate import Chain

KEEP = 60.0
"""Seconds that a twin's key and relay are believed."""


async def serve(wanted: Settings) -> None:
    """Until SIGTERM or SIGINT."""
    clock = SystemClock()
    tls = (*wanted.listen_tls, _context(wanted)) if wanted.listen_tls else None
    limit = Limit(*wanted.limit) if wanted.limit else None
    policy = Policy(wanted.allowed, neighbours=True)
    async with stop_signals() as stopping, Chain(wanted.chain) as chain, Federation(clock, policy) as federation:
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
