"""What control messages mean in numbers: times, prefixes, and which updates are taken. Pure."""

from __future__ import annotations

from zos.model import mycelium
from zos.mycelium import routerid
from zos.mycelium.costs import INFINITE
from zos.mycelium.packet import Subnet, Update

RETRACTED_HOLD = 6.0
"""Seconds that a retracted route stays in the table."""


def acceptable(update: Update) -> bool:
    """Only a /64 of the overlay, announced by the key that it follows from. A retraction needs no key."""
    subnet = update.subnet
    if subnet.length != 64 or len(subnet.address) != 16 or subnet.address[0] & 0xFE != 4:
        return False
    return update.metric == INFINITE or routerid.owns(update.router, subnet.address[: mycelium.PREFIX])


def hold(update: Update) -> float:
    """Seconds until a route expires without another update: three and a half intervals."""
    return RETRACTED_HOLD if update.metric == INFINITE else update.interval / 100 * 3.5


def subnet_of(prefix: bytes) -> Subnet:
    """The subnet of a prefix as messages name it."""
    return Subnet(prefix + bytes(16 - mycelium.PREFIX), 64)


def centi(seconds: float) -> int:
    """Centiseconds, as messages count time."""
    return int(seconds * 100)
