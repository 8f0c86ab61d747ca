"""The API of mycelium."""

from zos.mycelium.api.client import MyceliumClient
from zos.mycelium.api.errors import BadIdentity, KeyTaken, NoMycelium
from zos.mycelium.api.types import Identity, IdentityId, IdentityInfo, Overlay

__all__ = [
    "BadIdentity",
    "Identity",
    "IdentityId",
    "IdentityInfo",
    "KeyTaken",
    "MyceliumClient",
    "NoMycelium",
    "Overlay",
]
