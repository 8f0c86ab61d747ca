"""The public grids: where a node of each finds its chain, relays and services when its configuration names none.

The addresses are those that the grid's own nodes are built with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_GEOIP = (
    "https://geoip.threefold.me/",
    "https://geoip.grid.tf/",
    "https://02.geoip.grid.tf/",
    "https://03.geoip.grid.tf/",
)


@dataclass(frozen=True, slots=True)
class Grid:
    """What a grid offers its nodes; nothing, for a private one that the configuration does not describe."""

    chain: tuple[str, ...] = ()
    relay: tuple[str, ...] = ()
    hub: str = ""
    activation: tuple[str, ...] = ()
    geoip: tuple[str, ...] = ()
    kyc: tuple[str, ...] = ()


def _of(name: str) -> Grid:
    return Grid(
        chain=(f"wss://tfchain.{name}.grid.tf/", f"wss://tfchain.02.{name}.grid.tf"),
        relay=(f"wss://relay.{name}.grid.tf",),
        hub="https://hub.threefold.me",
        activation=tuple(f"https://activation.{host}.grid.tf/activation/activate" for host in (name, f"02.{name}")),
        geoip=_GEOIP,
        kyc=(f"https://kyc.{name}.grid.tf",),
    )


PUBLIC: Mapping[str, Grid] = {
    "dev": _of("dev"),
    "qa": _of("qa"),
    "test": _of("test"),
    "prod": Grid(
        chain=(
            "wss://tfchain.grid.tf/",
            "wss://tfchain.02.grid.tf",
            "wss://02.tfchain.grid.tf/",
            "wss://03.tfchain.grid.tf/",
            "wss://04.tfchain.grid.tf/",
        ),
        relay=("wss://relay.grid.tf",),
        hub="https://hub.threefold.me",
        activation=(
            "https://activation.grid.threefold.me/activation/activate",
            "https://activation.grid.tf/activation/activate",
            "https://activation.02.grid.tf/activation/activate",
        ),
        geoip=_GEOIP,
        kyc=("https://kyc.threefold.me",),
    ),
}
WORDS = {"development": "dev", "testing": "test", "production": "prod", "main": "prod"}
"""What else the grids are called."""


def named(word: str) -> Grid:
    """The grid that a run mode stands for. Raises KeyError."""
    return PUBLIC[WORDS.get(word, word)]


def of_chain(urls: Iterable[str]) -> Grid:
    """The public grid to whose chain one of these URLs leads, or a private one."""
    hosts = {urlsplit(url).hostname for url in urls}
    found = (grid for grid in PUBLIC.values() if not hosts.isdisjoint(urlsplit(url).hostname for url in grid.chain))
    return next(found, Grid())
