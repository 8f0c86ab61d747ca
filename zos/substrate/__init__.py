"""Drives any Substrate chain from its metadata: connect, read, follow, sign, submit.

The chain daemon, the user's command line and the explorer share it. The SCALE codec is `zos.scale`.
It knows nothing of the grid but how the generations of its runtime differ, and that only in `compat`.
"""

from zos.substrate.chain import Chain, Included
from zos.substrate.endpoints import Block
from zos.substrate.errors import (
    CallFailed,
    ChainUnreachable,
    NotIncluded,
    NotOnThisChain,
    OtherChain,
    Rejected,
    StatePruned,
    Unreadable,
)
from zos.substrate.keys import BadKey, Key, KeyKind, LocalKey, address, public_key
from zos.substrate.rpc import Connect, Connection, websocket
from zos.substrate.runtime import Event

__all__ = [
    "BadKey",
    "Block",
    "CallFailed",
    "Chain",
    "ChainUnreachable",
    "Connect",
    "Connection",
    "Event",
    "Included",
    "Key",
    "KeyKind",
    "LocalKey",
    "NotIncluded",
    "NotOnThisChain",
    "OtherChain",
    "Rejected",
    "StatePruned",
    "Unreadable",
    "address",
    "public_key",
    "websocket",
]
