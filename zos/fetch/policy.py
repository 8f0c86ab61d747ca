"""Where a URL may lead. Tenants write URLs, and neither the node nor the farmer's network is theirs.

The address that is connected to is judged, never the text: no digits of another script and no name server gets around.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from zos.fetch.errors import FetchForbidden

if TYPE_CHECKING:
    from zos.fetch.addresses import IP

WEB: Mapping[str, int] = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in parts."""

    scheme: str
    host: str
    port: int
    path: str
    """With the query; at least `/`."""

    @property
    def authority(self) -> str:
        """As a `Host` header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == WEB[self.scheme] else f"{host}:{self.port}"


def shown(url: str) -> str:
    """A URL without what may be secret in it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url.rpartition("@")[2][:200]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"[:300]


def target(url: str) -> Target:
    """Parse a URL of the web; raises FetchForbidden for any other."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("ascii" if (parts.hostname or "").isascii() else "idna").decode()
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        path.encode("ascii")
    except ValueError as err:
        raise FetchForbidden(url=shown(url), problem=err) from None
    if parts.scheme not in WEB or not host:
        raise FetchForbidden(url=shown(url), problem="only http and https are spoken here")
    if any(character <= " " or character == "\x7f" for character in host + path):
        raise FetchForbidden(url=shown(url), problem="it has spaces or control characters")
    return Target(parts.scheme, host.lower(), WEB[parts.scheme] if port is None else port, path)


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be connected to: public addresses, and what is allowed by name."""

    allowed: tuple[str, ...] = ()
    """Networks (`192.168.7.0/24`), addresses and host names, each with or without a port (`hub.lan:8080`)."""
    neighbours: bool = False
    """Whether public addresses on this machine's own links may be connected to; its own addresses never."""

    @classmethod
    def of_urls(cls, urls: Iterable[str], allowed: Iterable[str] = ()) -> Self:
        """For URLs that the operator configured: their hosts and ports are allowed, wherever they are."""
        return cls((*(_server(url) for url in urls if url), *allowed))

    def judge(self, host: str, port: int, address: str) -> None:
        """Raise FetchForbidden for an address that a host name turned out to be."""
        # Here, since a mount whose blocks are all cached connects nowhere.
        from zos.fetch.addresses import is_public, parse
        from zos.fetch.local import is_neighbour, is_own

        ip = parse(address)
        if self._allows(host, port, ip):
            return
        if not is_public(ip):
            problem = f"{ip} is not a public address"
        elif is_own(ip):
            problem = f"{ip} is this machine's own address"
        elif not self.neighbours and is_neighbour(ip):
            problem = f"{ip} is in this machine's own network"
        else:
            return
        raise FetchForbidden(url=host, problem=problem)

    def _allows(self, host: str, port: int, ip: IP) -> bool:
        return any(_matches(text, host.lower(), port, ip) for text in self.allowed)


def _server(url: str) -> str:
    """`host:port` of a URL."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or WEB.get(parts.scheme, 0)}"


def _matches(text: str, host: str, port: int, ip: IP) -> bool:
    import ipaddress

    name, only = text, ""
    if text.startswith("["):
        name, _, only = text[1:].partition("]")
        only = only.removeprefix(":")
    elif text.count(":") == 1:
        name, _, only = text.partition(":")
    if only and only != str(port):
        return False
    try:
        network = ipaddress.ip_network(name, strict=False)
    except ValueError:
        return name.lower() == host
    return network.version == ip.version and ip in network
