"""Stands in for what grid clients have built in beside the grid itself: the KYC service, and a page of terms.

    python -m zos.lab.kyc --listen ADDRESS:PORT --cert FILE --key FILE --verdict FILE

It is a forward proxy (CONNECT) for the names of those alone: it ends the TLS there with the lab's certificate. KYC
answers with the verdict's file (JSON: address or twin → status; "" for everybody else), also without TLS and proxy, for
nodes that are configured to ask.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import ssl
import sys
from pathlib import Path
from urllib.parse import parse_qsl

import msgspec

from zos.lab.topology import KYC_NAMES, TERMS_NAME
from zos.runtime import program
from zos.runtime.notify import notify

log = logging.getLogger("zos.lab")

DEADLINE = 15.0
LARGEST = 16 * 1024
VERIFIED = "VERIFIED"
TERMS = b"# Terms and conditions\n\nThis is a lab. Nothing in it is for sale.\n"


class Kyc:
    """The KYC service and the page of terms."""

    def __init__(self, tls: ssl.SSLContext, verdict: Path) -> None:
        self._tls = tls
        self._verdict = verdict

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: a request, or CONNECT, then TLS, then one request."""
        try:
            async with asyncio.timeout(DEADLINE):
                method, target = await _request(reader)
                name = ""
                if method == "CONNECT":
                    name = target.rpartition(":")[0]
                    if name not in (*KYC_NAMES, TERMS_NAME):
                        problem = f"this lab is a proxy for {KYC_NAMES[0]} and {TERMS_NAME} alone, not for {name}"
                        await _respond(writer, "403 Forbidden", json.dumps({"error": problem}).encode())
                        return
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    await writer.drain()
                    await writer.start_tls(self._tls)
                    method, target = await _request(reader)
                await _respond(writer, *self.answer(name, target))
        except (TimeoutError, OSError, ssl.SSLError, ValueError, asyncio.IncompleteReadError) as err:
            log.info("a connection ended: %s", err or type(err).__name__)
        finally:
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
                async with asyncio.timeout(2):
                    await writer.wait_closed()

    def answer(self, name: str, target: str) -> tuple[str, bytes]:
        """What a server answers to GET."""
        path, _, query = target.partition("?")
        if name == TERMS_NAME:
            return "200 OK", TERMS
        match path:
            case "/api/v1/status":
                return "200 OK", json.dumps({"result": {"status": self.verdict(query)}}).encode()
            case "/api/v1/health":
                return "200 OK", json.dumps({"result": {"status": "Healthy", "errors": []}}).encode()
            case _:
                return "404 Not Found", json.dumps({"error": "there are only /api/v1/status and /health"}).encode()

    def verdict(self, query: str) -> str:
        """The status of one user: clients name the address (`client_id`), nodes the twin (`twin_id`)."""
        fields = dict(parse_qsl(query))
        known = verdicts(self._verdict)
        return known.get(fields.get("client_id") or fields.get("twin_id", ""), known.get("", VERIFIED))


def verdicts(path: Path) -> dict[str, str]:
    """The file's content; empty when there is no file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return {}


async def _request(reader: asyncio.StreamReader) -> tuple[str, str]:
    """Method and target of a request without a body."""
    head = await reader.readuntil(b"\r\n\r\n")
    method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    return method, target


async def _respond(writer: asyncio.StreamWriter, status: str, body: bytes) -> None:
    kind = "text/plain" if body is TERMS else "application/json"
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
    await writer.drain()


def main() -> int:
    parser = argparse.ArgumentParser(prog="zos.lab.kyc", description="A KYC service that answers from a file.")
    parser.add_argument("--listen", required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--cert", type=Path, required=True)
    parser.add_argument("--cert-key", type=Path, required=True)
    parser.add_argument("--verdict", type=Path, required=True)
    arguments = parser.parse_args()
    return program.main("kyc", lambda: _run(arguments))


async def _run(arguments: argparse.Namespace) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(arguments.cert, arguments.cert_key)
    host, _, port = arguments.listen.rpartition(":")
    server = await asyncio.start_server(Kyc(tls, arguments.verdict).serve, host, int(port), limit=LARGEST)
    async with program.stop_signals() as stopping, server:
        notify("READY=1")
        await stopping.wait()


if __name__ == "__main__":
    sys.exit(main())
