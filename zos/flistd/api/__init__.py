"""The API of flistd."""

from zos.fetch.errors import FetchFailed, FetchForbidden
from zos.flist.errors import BlockCorrupt, BlockMissing, FlistBroken
from zos.flistd.api.client import FlistdClient
from zos.flistd.api.errors import BadMount, CacheAway, FlistMismatch, FlistUnreachable, MountFailed, NoSuchFlist
from zos.flistd.api.types import Mount, MountId, MountInfo, MountKind

__all__ = [
    "BadMount",
    "BlockCorrupt",
    "BlockMissing",
    "CacheAway",
    "FetchFailed",
    "FetchForbidden",
    "FlistBroken",
    "FlistMismatch",
    "FlistUnreachable",
    "FlistdClient",
    "Mount",
    "MountFailed",
    "MountId",
    "MountInfo",
    "MountKind",
    "NoSuchFlist",
]
