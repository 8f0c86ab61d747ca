"""The API of zdbd."""

from zos.zdbd.api.client import ZdbdClient
from zos.zdbd.api.errors import BadNamespace, ModeChange, NoAddress, NoPort, NotServed, ServerFailed, TooManyNamespaces
from zos.zdbd.api.types import Mode, Namespace, NamespaceId, NamespaceInfo

__all__ = [
    "BadNamespace",
    "Mode",
    "ModeChange",
    "Namespace",
    "NamespaceId",
    "NamespaceInfo",
    "NoAddress",
    "NoPort",
    "NotServed",
    "ServerFailed",
    "TooManyNamespaces",
    "ZdbdClient",
]
