"""The door of core-0."""

from zos.core0.api.client import Core0Client
from zos.core0.api.errors import BadE2eKey, BadPurpose, KeyUnreadable, NoSuchUnit
from zos.core0.api.types import Identity, Purpose, UnitInfo, UnitState

__all__ = [
    "BadE2eKey",
    "BadPurpose",
    "Core0Client",
    "Identity",
    "KeyUnreadable",
    "NoSuchUnit",
    "Purpose",
    "UnitInfo",
    "UnitState",
]
