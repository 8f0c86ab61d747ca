"""Utility: several calls in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zos.devchain.context import Context
from zos.devchain.errors import Refusal
from zos.devchain.pallets.origin import passed_on
from zos.devchain.pallets.system import DISPATCH_ERROR
from zos.scale.pallet import Constant, Pallet, call, errors, event
from zos.scale.types import U32, Later, Vec

RUNTIME_CALL = Later()
LIMIT = 10_922

PALLET = Pallet(
    name="Utility",
    index=3,
    path="pallet_utility",
    calls=(
        call(0, "batch", calls=Vec(RUNTIME_CALL)),
        call(2, "batch_all", calls=Vec(RUNTIME_CALL)),
        call(4, "force_batch", calls=Vec(RUNTIME_CALL)),
    ),
    events=(
        event("BatchInterrupted", index=U32, error=DISPATCH_ERROR),
        event("BatchCompleted"),
        event("BatchCompletedWithErrors"),
        event("ItemCompleted"),
        event("ItemFailed", error=DISPATCH_ERROR),
    ),
    errors=errors("TooManyCalls"),
    constants=(Constant("batched_calls_limit", U32, LIMIT),),
)

Dispatch = Callable[[Context, bytes, Any], None]


class Utility:
    """Batches; `dispatch` executes one call in its own storage layer."""

    def __init__(self, dispatch: Dispatch, render: Callable[[Refusal], Any]) -> None:
        self._dispatch = dispatch
        self._render = render

    @passed_on
    def batch(self, ctx: Context, who: bytes, calls: list[Any]) -> None:
        """Until the first failure; what came before stays."""
        ctx.need(len(calls) <= LIMIT, "Utility.TooManyCalls")
        for index, one in enumerate(calls):
            try:
                self._dispatch(ctx, who, one)
            except Refusal as err:
                ctx.emit("Utility.BatchInterrupted", index=index, error=self._render(err))
                return
            ctx.emit("Utility.ItemCompleted")
        ctx.emit("Utility.BatchCompleted")

    @passed_on
    def batch_all(self, ctx: Context, who: bytes, calls: list[Any]) -> None:
        """Executes the calls; one that is refused undoes them all."""
        ctx.need(len(calls) <= LIMIT, "Utility.TooManyCalls")
        for one in calls:
            self._dispatch(ctx, who, one)
            ctx.emit("Utility.ItemCompleted")
        ctx.emit("Utility.BatchCompleted")

    @passed_on
    def force_batch(self, ctx: Context, who: bytes, calls: list[Any]) -> None:
        """Executes the calls; one that is refused stops and undoes no other."""
        ctx.need(len(calls) <= LIMIT, "Utility.TooManyCalls")
        failed = False
        for one in calls:
            try:
                self._dispatch(ctx, who, one)
            except Refusal as err:
                failed = True
                ctx.emit("Utility.ItemFailed", error=self._render(err))
            else:
                ctx.emit("Utility.ItemCompleted")
        ctx.emit("Utility.BatchCompletedWithErrors" if failed else "Utility.BatchCompleted")
