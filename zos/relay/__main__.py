"""`python -m zos.relay --chain URL --listen ADDRESS:PORT --domain NAME`: the relay as a process."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import ssl
import sys
from pathlib import Path

from zos.relay.federation import Federation
from zos.relay.server import Limit, Relay, serving
from zos.rmb.account import chain_twins
from zos.rmb.twins import TwinCache
from zos.runtime.clock import SystemClock
from zos.runtime.daemon import set_up_journal
from zos.runtime.notify import notify
from zos.substrate import Chain

KEEP = 60.0
"""Seconds that a twin's key and relay are believed."""


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="zos.relay", description="Carries RMB messages between twins.")
    parser.add_argument("--chain", required=True, metavar="URL[,URL]", help="where twins are looked up")
    parser.add_argument("--listen", default="127.0.0.1:8080", metavar="ADDRESS:PORT", help="plain HTTP and WebSocket")
    parser.add_argument("--listen-tls", default="", metavar="ADDRESS:PORT", help="the same behind TLS")
    parser.add_argument("--cert", type=Path, help="certificate (PEM, with its chain)")
    parser.add_argument("--key", type=Path, help="its private key (PEM)")
    parser.add_argument("--domain", default="", help="the name under which twins name this relay on the chain")
    parser.add_argument("--limit", default="", metavar="COUNT,BYTES", help="per twin and minute (default: none)")
    wanted = parser.parse_args()
    if wanted.listen_tls and not (wanted.cert and wanted.key):
        parser.error("--listen-tls needs --cert and --key")
    set_up_journal("relay", False)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(wanted))
    return 0


async def _run(wanted: argparse.Namespace) -> None:
    clock = SystemClock()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    host, _, port = wanted.listen.rpartition(":")
    tls = None
    if wanted.listen_tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(wanted.cert, wanted.key)
        tls_host, _, tls_port = wanted.listen_tls.rpartition(":")
        tls = (tls_host, int(tls_port), context)
    limit = Limit(*map(int, wanted.limit.split(","))) if wanted.limit else None
    async with Chain(wanted.chain.split(",")) as chain, Federation(clock) as federation:
        relay = Relay(TwinCache(chain_twins(chain), clock, KEEP), wanted.domain or host, clock, federation, limit)
        async with serving(relay, host, int(port), tls):
            notify("READY=1")
            await stopping.wait()


if __name__ == "__main__":
    sys.exit(main())
