"""Where a flist may send the node: its routes and URLs are a stranger's, and the node's own network is not public.

Names are looked up first and addresses judged, at every connection, so that no name can point inside afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from zos.flist.errors import StoreForbidden

if TYPE_CHECKING:
    import ipaddress

_CLOSED = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/3",
    "::/127",
    "64:ff9b::/96",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
)


WEB = ("http", "https")
REDIS = ("zdb", "redis", "ardb")
"""Stores that speak redis' protocol; ardb is what 0-fs' first store was."""


def shown(url: str) -> str:
    """A URL without what may be secret in it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url.rpartition("@")[2][:200]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"[:300]


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be connected to."""

    allowed: tuple[str, ...] = ()
    """Networks and host names that may be asked although they are not public; the node's own hub is one."""
    folders: bool = False
    """Whether `dir://` may be read: for the command line and tests, never for a stranger's flist."""

    def check_url(self, url: str) -> None:
        """Refuse a URL to fetch from that is wrong before anything is connected."""
        self._check(url, WEB, "only http and https are spoken here")

    def check_store(self, url: str) -> None:
        """Refuse the URL of a block store that is wrong before anything is connected."""
        self._check(url, WEB + REDIS, f"only {', '.join(WEB + REDIS)} are spoken here")

    def _check(self, url: str, schemes: tuple[str, ...], problem: str) -> None:
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError as err:
            raise StoreForbidden(url=shown(url), problem=err) from None
        if parts.scheme == "dir":
            if not self.folders:
                raise StoreForbidden(url=shown(url), problem="it is a folder of this machine")
        elif parts.scheme not in schemes or not parts.hostname:
            raise StoreForbidden(url=shown(url), problem=problem)

    def check_address(self, host: str, address: str) -> None:
        """Refuse an address that a host name turned out to be."""
        # Here, since a mount whose blocks are all cached connects nowhere.
        import ipaddress

        ip = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        if host.lower() in self.allowed:
            return
        if any(ip in network for network in _networks(_CLOSED)) and not any(
            ip in network for network in _networks(self.allowed)
        ):
            raise StoreForbidden(url=host, problem=f"{ip} is not a public address")

    def to_json(self) -> str:
        """For another process."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Policy:
        """What `to_json` said."""
        fields = json.loads(text)
        return Policy(tuple(fields["allowed"]), bool(fields["folders"]))


def _networks(texts: Iterable[str]) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    import ipaddress

    for text in texts:
        try:
            yield ipaddress.ip_network(text, strict=False)
        except ValueError:
            continue  # a host name
