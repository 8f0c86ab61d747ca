"""What capacityd refuses."""

from zos.errors import Status, ZosError


class InventoryIncomplete(ZosError):
    """The machine cannot be told completely yet, and a smaller one must not be registered in its place."""

    reason = "capacityd.inventory_incomplete"
    status = Status.UNAVAILABLE
    text = "the inventory is not complete yet: {what}"
    hint = "it is taken again by itself"
