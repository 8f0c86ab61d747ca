"""What the user writes for a 0-db namespace."""

from __future__ import annotations

from dataclasses import dataclass, field

from zos.model.decode import Fields
from zos.model.units import Bytes
from zos.zdbd.api.check import MAX_PASSWORD
from zos.zdbd.api.types import Mode


@dataclass(frozen=True, slots=True)
class ZdbSpec:
    """A namespace for so many bytes."""

    size: Bytes
    mode: Mode
    password: str = field(repr=False)
    """Empty: none."""
    public: bool


def parse(data: Fields) -> ZdbSpec:
    """The user's words, checked."""
    size, mode, password = data.uint("size"), data.text("mode"), data.text("password")
    if size == 0:
        data.refuse("size", "must be more than 0 bytes")
    if mode not in tuple(Mode):
        data.refuse("mode", f"must be `user` or `seq`, not {mode!r}")
    if len(password.encode()) > MAX_PASSWORD or "\0" in password:
        data.refuse("password", f"must be at most {MAX_PASSWORD} bytes, without NUL")
    return ZdbSpec(Bytes(size), Mode(mode), password, data.flag("public"))
