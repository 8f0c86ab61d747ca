"""The API of core-0."""

from zos.core0.api.client import Core0Client
from zos.core0.api.errors import (
    BadE2eKey,
    BadPart,
    BadPurpose,
    BadUse,
    KeyUnreadable,
    NoSuchUnit,
    NotYourPart,
    NotYours,
)
from zos.core0.api.types import Identity, KeyUse, Purpose, UnitInfo, UnitState

__all__ = [
    "BadE2eKey",
    "BadPart",
    "BadPurpose",
    "BadUse",
    "Core0Client",
    "Identity",
    "KeyUnreadable",
    "KeyUse",
    "NoSuchUnit",
    "NotYourPart",
    "NotYours",
    "Purpose",
    "UnitInfo",
    "UnitState",
]
