"""Which disks and volumes can be, and their sizes as they are promised. Pure.

storaged checks by it, and so does whoever wants to refuse one before it is paid for.
"""

from __future__ import annotations

import re

from zos.model.units import Bytes, MiB
from zos.runtime import users
from zos.storaged.api.errors import BadId, BadOwner, BadSize
from zos.storaged.api.types import CACHE, Kind

LARGEST = 1 << 60
"""More than any device; keeps sums far from the wire's 63 bits."""
LEAST_DISK = MiB(1)
OWNERS = (0, users.ZDBD)
"""Users that a volume may be made for."""
SECTOR = 4096
"""A disk is a whole number of these: QEMU and guests count in them."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._@+-]{0,159}")


def check(kind: Kind, id: str, size: int) -> None:
    """Refuse what can be no disk or volume."""
    check_id(kind, id)
    problem = ""
    if size <= 0:
        problem = "less than nothing" if size < 0 else "nothing"
    elif size > LARGEST:
        problem = "more than any device has"
    elif kind is Kind.DISK and size < LEAST_DISK:
        problem = f"too small for a file system; the least is {LEAST_DISK}"
    if problem:
        raise BadSize(kind=kind, id=id, size=size, problem=problem)


def check_id(kind: Kind, id: str) -> None:
    """Refuse what cannot be a file's name, or is the node's own."""
    if not _ID.fullmatch(id):
        raise BadId(kind=kind, id=id, problem="use up to 160 letters, digits and `:._@+-`, a letter or digit first")
    if id == CACHE:
        raise BadId(kind=kind, id=id, problem="it is the node's own")


def check_owner(id: str, owner: int) -> None:
    """Refuse a volume for a user who keeps nothing in volumes."""
    if owner not in OWNERS:
        raise BadOwner(id=id, owner=owner)


def promised(kind: Kind, size: int) -> Bytes:
    """What is promised when so much is asked for: disks are rounded up to whole sectors."""
    return Bytes(-(-size // SECTOR) * SECTOR if kind is Kind.DISK else size)
