"""Stands in for the grid's KYC service, for clients that have its address built in.

    python -m zos.lab.kyc --listen ADDRESS:PORT --cert FILE --cert-key FILE --verdict FILE

It is a forward proxy (CONNECT) for the names of that service alone: it ends the TLS there with the lab's certificate
and answers `GET /api/v1/status` for everybody with what the verdict's file holds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import signal
import ssl
import sys
from pathlib import Path

from zos.lab.topology import KYC_NAMES
from zos.runtime.daemon import set_up_journal
from zos.runtime.notify import notify

log = logging.getLogger("zos.lab")

DEADLINE = 15.0
LARGEST = 16 * 1024
VERIFIED = "VERIFIED"


class Kyc:
    """One service."""

    def __init__(self, tls: ssl.SSLContext, verdict: Path) -> None:
        self._tls = tls
        self._verdict = verdict

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: CONNECT, then TLS, then one question."""
        try:
            async with asyncio.timeout(DEADLINE):
                target = await _request(reader)
                name = target.removeprefix("CONNECT ").rpartition(":")[0]
                if not target.startswith("CONNECT ") or name not in KYC_NAMES:
                    await _say(writer, "403 Forbidden", {"error": f"this lab is a proxy for {KYC_NAMES[0]} alone"})
                    return
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await writer.drain()
                await writer.start_tls(self._tls)
                path = (await _request(reader)).partition(" ")[2]
                if path.partition("?")[0] != "/api/v1/status":
                    await _say(writer, "404 Not Found", {"error": "there is only /api/v1/status"})
                    return
                await _say(writer, "200 OK", {"result": {"status": self.verdict()}})
        except (TimeoutError, OSError, ssl.SSLError, ValueError, asyncio.IncompleteReadError) as err:
            log.info("a connection ended: %s", err or type(err).__name__)
        finally:
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
                async with asyncio.timeout(2):
                    await writer.wait_closed()

    def verdict(self) -> str:
        """What everybody is."""
        try:
            return self._verdict.read_text().strip() or VERIFIED
        except OSError:
            return VERIFIED


async def _request(reader: asyncio.StreamReader) -> str:
    """`METHOD TARGET` of a request without a body."""
    head = await reader.readuntil(b"\r\n\r\n")
    method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    return f"{method} {target}"


async def _say(writer: asyncio.StreamWriter, status: str, body: object) -> None:
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n"
    writer.write(head.encode() + b"Connection: close\r\n\r\n" + text)
    await writer.drain()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="zos.lab.kyc", description="A KYC service that says what a file says.")
    parser.add_argument("--listen", required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--cert", type=Path, required=True)
    parser.add_argument("--cert-key", type=Path, required=True)
    parser.add_argument("--verdict", type=Path, required=True)
    wanted = parser.parse_args()
    set_up_journal("kyc", False)
    asyncio.run(_run(wanted))
    return 0


async def _run(wanted: argparse.Namespace) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(wanted.cert, wanted.cert_key)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    host, _, port = wanted.listen.rpartition(":")
    async with await asyncio.start_server(Kyc(tls, wanted.verdict).serve, host, int(port), limit=LARGEST):
        notify("READY=1")
        await stopping.wait()


if __name__ == "__main__":
    sys.exit(main())
