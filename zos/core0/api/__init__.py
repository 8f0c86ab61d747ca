"""The API of core-0."""

from zos.core0.api.client import Core0Client
from zos.core0.api.errors import BadE2eKey, BadPurpose, BadUse, KeyUnreadable, NoSuchUnit, NotYours
from zos.core0.api.types import Identity, KeyUse, Purpose, UnitInfo, UnitState

__all__ = [
    "BadE2eKey",
    "BadPurpose",
    "BadUse",
    "Core0Client",
    "Identity",
    "KeyUnreadable",
    "KeyUse",
    "NoSuchUnit",
    "NotYours",
    "Purpose",
    "UnitInfo",
    "UnitState",
]
