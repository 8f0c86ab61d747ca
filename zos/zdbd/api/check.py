"""Which namespaces can be. Pure.

zdbd checks by it, and so does whoever wants to refuse one before it is paid for.
"""

from __future__ import annotations

import re

from zos.zdbd.api.errors import BadNamespace
from zos.zdbd.api.types import Namespace

MAX_NAME, MAX_PASSWORD = 128, 63
"""Bytes, as the format of 0-db's files has them."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._@+-]*")
_POOL = re.compile(r"[A-Za-z0-9-]{1,64}")


def check(namespace: Namespace) -> None:
    """Refuse what can be no namespace."""

    def refuse(field: str, problem: str) -> None:
        raise BadNamespace(id=namespace.id, field=field, problem=problem)

    if not _NAME.fullmatch(namespace.id) or len(namespace.id) > MAX_NAME or namespace.id == "default":
        refuse("id", f"must be up to {MAX_NAME} letters, digits and `:._@+-`, and not `default`")
    if not _POOL.fullmatch(namespace.pool):
        refuse("pool", "is none")
    if not namespace.path.is_absolute() or ".." in namespace.path.parts:
        refuse("path", "is no volume's folder")
    if namespace.size <= 0:
        refuse("size", "must be more than 0 bytes")
    if len(namespace.password.encode()) > MAX_PASSWORD or "\0" in namespace.password:
        refuse("password", f"must be at most {MAX_PASSWORD} bytes, without NUL")
