"""What the user writes for a volume."""

from __future__ import annotations

from dataclasses import dataclass

from zos.model.decode import Fields
from zos.model.units import Bytes


@dataclass(frozen=True, slots=True)
class VolumeSpec:
    """A folder for so many bytes."""

    size: Bytes


def parse(data: Fields) -> VolumeSpec:
    """The user's words, checked."""
    size = data.uint("size")
    if size == 0:
        data.refuse("size", "must be more than 0 bytes")
    return VolumeSpec(Bytes(size))
