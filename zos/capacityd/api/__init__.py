"""The door of capacityd."""

from zos.capacityd.api.client import CapacitydClient
from zos.capacityd.api.errors import InventoryIncomplete
from zos.capacityd.api.types import Counters, Inventory

__all__ = ["CapacitydClient", "Counters", "Inventory", "InventoryIncomplete"]
