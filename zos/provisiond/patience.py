"""Decides for how long a first making may fail for now before it is an error. Pure.

What is made already, and memory and room, are kept for it meanwhile. A tenant chooses his flist, image and document, so
he could have it fail for ever: only what is the node's own business is waited for without end.
"""

from __future__ import annotations

from zos.bus import Unreachable
from zos.errors import ZosError
from zos.fetch.errors import FetchFailed
from zos.flistd.api.errors import CacheAway, FlistUnreachable
from zos.networkd.api.errors import KernelRefused, NoFirewall, NoUplink, PlanetaryNotUp
from zos.storaged.api.errors import (
    CacheGivesWay,
    DeviceRefused,
    NoCache,
    PoolAway,
    PoolGone,
    PoolShort,
    Starting,
)
from zos.verbs.primitive import Waiting
from zos.vmd.api.errors import GuestAssetsMissing, LibvirtUnreachable, PartsMissing
from zos.zdbd.api.errors import NoAddress, NotServed, ServerFailed

SHORT = 60.0
"""Seconds for a server of the tenant's choice that does not answer: he waits for an answer himself."""
LONG = 600.0
"""For everything else that is not known to be the node's: an image that does not start, a compile that takes long. What
waits for longer, since it waits for the node, is billed from then on."""

_TENANTS = (FlistUnreachable, FetchFailed)
_NODES = (
    Unreachable,
    Waiting,
    CacheAway,
    CacheGivesWay,
    DeviceRefused,
    GuestAssetsMissing,
    KernelRefused,
    LibvirtUnreachable,
    NoAddress,
    NoCache,
    NoFirewall,
    NoUplink,
    NotServed,
    PartsMissing,
    PlanetaryNotUp,
    PoolAway,
    PoolGone,
    PoolShort,
    ServerFailed,
    Starting,
)


def patience(err: ZosError) -> float | None:
    """Seconds; None: for ever."""
    parts = tuple(err.chain())
    if any(isinstance(part, _TENANTS) for part in parts):
        return SHORT
    return None if any(isinstance(part, _NODES) for part in parts) else LONG
