"""The API of capacityd."""

from zos.capacityd.api.client import CapacitydClient
from zos.capacityd.api.errors import InventoryIncomplete, NoLocation
from zos.capacityd.api.types import Counters, Dmi, Inventory, Location

__all__ = ["CapacitydClient", "Counters", "Dmi", "Inventory", "InventoryIncomplete", "Location", "NoLocation"]
