"""What the parts of TfgridModule and the pallets above it ask: whose twin, whose node, whose farm."""

from __future__ import annotations

from typing import Any, Protocol

from zos.devchain.context import Context


class NodeWatcher(Protocol):
    """A pallet that follows the nodes."""

    def node_changed(self, ctx: Context, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        """A node was added (no old one) or changed."""
        ...

    def node_deleted(self, ctx: Context, node: dict[str, Any]) -> None:
        """A node is about to be removed; its record is still there."""
        ...

    def power_changed(self, ctx: Context, node_id: int) -> None:
        """A node fell asleep or woke up."""
        ...


def twin_of(ctx: Context, who: bytes, pallet: str = "TfgridModule") -> int:
    """The twin whose account calls. Raises Refusal when it has none."""
    id = ctx.get("TfgridModule.TwinIdByAccountID", who)
    ctx.need(id, f"{pallet}.TwinNotExists")
    return int(id)


def node_of(ctx: Context, who: bytes, pallet: str = "TfgridModule") -> int:
    """The node whose twin calls. Raises Refusal when the twin is no node's."""
    id = ctx.get("TfgridModule.NodeIdByTwinID", twin_of(ctx, who, pallet))
    ctx.need(id, f"{pallet}.NodeNotExists")
    return int(id)


def farm_of(ctx: Context, farm_id: int) -> dict[str, Any]:
    """A farm, or FarmNotExists."""
    farm: dict[str, Any] | None = ctx.get("TfgridModule.Farms", farm_id)
    ctx.need(farm, "TfgridModule.FarmNotExists")
    assert farm is not None
    return farm


def own_farm(ctx: Context, who: bytes, farm_id: int, error: str) -> dict[str, Any]:
    """A farm of the caller's."""
    twin = twin_of(ctx, who)
    farm = farm_of(ctx, farm_id)
    ctx.need(farm["twin_id"] == twin, f"TfgridModule.{error}")
    return farm


def store_farm(ctx: Context, farm: dict[str, Any]) -> None:
    """A farm as it is now, and the event."""
    ctx.put("TfgridModule.Farms", farm["id"], farm)
    ctx.emit("TfgridModule.FarmUpdated", farm)


def differs(old: dict[str, int], new: dict[str, int]) -> bool:
    """By more than one percent in anything."""
    return any(abs(old[name] - new[name]) * 100 > old[name] for name in old)
