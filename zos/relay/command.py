"""The command line of the relay, shared by `zos relay` and `python -m zos.relay`. It imports little: `zos` reads it for
every command."""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zos.errors import Status, ZosError


@dataclass(frozen=True, slots=True)
class Settings:
    """What a relay is started with."""

    chain: Sequence[str]
    """WebSocket URLs, tried in turn."""
    listen: tuple[str, int] = ("127.0.0.1", 8080)
    """Plain HTTP and WebSocket."""
    listen_tls: tuple[str, int] | None = None
    certificate: tuple[Path, Path] | None = None
    """PEM files: the certificate with its chain, and its private key."""
    domain: str = ""
    """The name under which twins name this relay on the chain."""
    limit: tuple[int, int] | None = None
    """Messages and bytes per twin and minute."""
    allowed: tuple[str, ...] = ()
    """Networks, addresses and host names of other relays that are not public."""
    data: Path | None = None
    """The folder that keeps what waits; without one that is lost with the process."""
    proxies: tuple[str, ...] = ()
    """Networks and addresses of reverse proxies in front of the relay."""


class BadOptions(ZosError):
    """The command line cannot be meant so."""

    reason = "relay.bad_options"
    status = Status.INVALID_ARGUMENT
    text = "{problem}"
    hint = "see --help"


def add_options(parser: argparse.ArgumentParser) -> None:
    """What both commands take."""
    parser.add_argument("--listen", default="127.0.0.1:8080", metavar="ADDRESS:PORT", help="plain HTTP and WebSocket")
    parser.add_argument("--listen-tls", default="", metavar="ADDRESS:PORT", help="the same behind TLS")
    parser.add_argument("--cert", type=Path, metavar="FILE", help="certificate (PEM, with its chain)")
    parser.add_argument("--cert-key", type=Path, metavar="FILE", help="its private key (PEM)")
    parser.add_argument("--domain", default="", metavar="NAME", help="the name by which twins name it on the chain")
    parser.add_argument("--limit", default="", metavar="COUNT,BYTES", help="per twin and minute (default: none)")
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="NETWORK",
        help="other relays may be in this network (or be this host) although it is not public; may be repeated",
    )
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="keeps what waits through restarts (default: memory only)"
    )
    parser.add_argument(
        "--proxy",
        action="append",
        default=[],
        metavar="NETWORK",
        help="a reverse proxy in front of the relay, whose X-Forwarded-For is believed; may be repeated",
    )


def settings(chain: Sequence[str], wanted: argparse.Namespace) -> Settings:
    """The relay's settings out of its command line. Raises BadOptions."""
    certificate = (wanted.cert, wanted.cert_key) if wanted.cert and wanted.cert_key else None
    if wanted.listen_tls and certificate is None:
        raise BadOptions(problem="--listen-tls needs --cert and --cert-key")
    listen = _address("--listen", wanted.listen)
    return Settings(
        tuple(chain),
        listen,
        _address("--listen-tls", wanted.listen_tls) if wanted.listen_tls else None,
        certificate,
        wanted.domain or listen[0],
        _limit(wanted.limit) if wanted.limit else None,
        tuple(wanted.allow),
        wanted.data,
        tuple(map(_network, wanted.proxy)),
    )


def _address(option: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise BadOptions(problem=f"{option} must be address:port, not {text}")
    return host.strip("[]"), int(port)


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as err:
        raise BadOptions(problem=f"--proxy must be an address or a network: {err}") from None


def _limit(text: str) -> tuple[int, int]:
    parts = text.split(",")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise BadOptions(problem=f"--limit must be COUNT,BYTES, not {text}")
    return int(parts[0]), int(parts[1])
