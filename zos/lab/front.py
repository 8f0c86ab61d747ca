"""Ends TLS for a server beside it, for clients that accept nothing else (Go, Terraform).

python -m zos.lab.front --listen ADDRESS:PORT --to ADDRESS:PORT --cert FILE --cert-key FILE
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ssl
import sys
from pathlib import Path

from zos.runtime import program
from zos.runtime.notify import notify

PIECE = 65536
CONNECT = 10.0


class Front:
    """One server behind TLS."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either end closes it."""
        back: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(CONNECT):
                there, back = await asyncio.open_connection(self._host, self._port)
            pumps = [asyncio.create_task(_pump(reader, back)), asyncio.create_task(_pump(there, writer))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        except (OSError, TimeoutError):
            pass  # the server is away; the client sees the connection end
        finally:
            for end in (writer, back):
                if end is not None:
                    end.close()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await source.read(PIECE):
            target.write(piece)
            await target.drain()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="zos.lab.front", description="TLS in front of a server.")
    parser.add_argument("--listen", required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--to", required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--cert", type=Path, required=True)
    parser.add_argument("--cert-key", type=Path, required=True)
    wanted = parser.parse_args()
    return program.main("front", lambda: _run(wanted))


async def _run(wanted: argparse.Namespace) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(wanted.cert, wanted.cert_key)
    host, _, port = wanted.listen.rpartition(":")
    to_host, _, to_port = wanted.to.rpartition(":")
    server = await asyncio.start_server(Front(to_host, int(to_port)).serve, host, int(port), ssl=tls)
    async with program.stop_signals() as stopping, server:
        notify("READY=1")
        await stopping.wait()


if __name__ == "__main__":
    sys.exit(main())
