"""Ends TLS for a server beside it, for clients that accept nothing else (Go, Terraform).

python -m zos.lab.tls_proxy --listen ADDRESS:PORT --to ADDRESS:PORT --cert FILE --cert-key FILE
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

CHUNK = 65536
CONNECT = 10.0


class TlsProxy:
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
        while chunk := await source.read(CHUNK):
            target.write(chunk)
            await target.drain()


def main() -> int:
    parser = argparse.ArgumentParser(prog="zos.lab.tls_proxy", description="TLS in front of a server.")
    parser.add_argument("--listen", required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--to", required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--cert", type=Path, required=True)
    parser.add_argument("--cert-key", type=Path, required=True)
    arguments = parser.parse_args()
    return program.main("tls", lambda: _run(arguments))


async def _run(arguments: argparse.Namespace) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(arguments.cert, arguments.cert_key)
    host, _, port = arguments.listen.rpartition(":")
    to_host, _, to_port = arguments.to.rpartition(":")
    server = await asyncio.start_server(TlsProxy(to_host, int(to_port)).serve, host, int(port), ssl=tls)
    async with program.stop_signals() as stopping, server:
        notify("READY=1")
        await stopping.wait()


if __name__ == "__main__":
    sys.exit(main())
