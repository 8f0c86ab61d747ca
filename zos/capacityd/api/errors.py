"""What capacityd refuses."""

from zos.errors import Status, ZosError


class InventoryIncomplete(ZosError):
    """The machine cannot be told completely yet, and a smaller one must not be registered in its place."""

    reason = "capacityd.inventory_incomplete"
    status = Status.UNAVAILABLE
    text = "the inventory is not complete yet: {what}"
    hint = "it is taken again by itself"


class NoLocation(ZosError):
    """No GeoIP service tells where the node is."""

    reason = "capacityd.no_location"
    status = Status.UNAVAILABLE
    text = "failed to fetch location information"
    hint = "name a service that answers in `geoip` of [capacityd]"


class GeoipUnreachable(ZosError):
    """One service does not tell where the node is."""

    reason = "capacityd.geoip_unreachable"
    status = Status.UNAVAILABLE
    text = "{url} does not tell where the node is: {problem}"
