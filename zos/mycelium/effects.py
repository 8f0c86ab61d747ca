"""What the router asks its caller to do. Pure."""

from __future__ import annotations

from typing import NamedTuple

from zos.mycelium.packet import Tlv
from zos.mycelium.table import Peer


class Send(NamedTuple):
    """A message for a peer."""

    peer: Peer
    tlv: Tlv


class Found(NamedTuple):
    """A route to this subnet was selected."""

    prefix: bytes


class Lost(NamedTuple):
    """No route to this subnet was found in time."""

    prefix: bytes


class Unresponsive(NamedTuple):
    """A peer that does not answer any more: close its connection."""

    peer: Peer


Effect = Send | Found | Lost | Unresponsive
