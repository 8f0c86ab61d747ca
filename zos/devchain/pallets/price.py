"""TFTPriceModule: what a token costs, in 1/1000 US dollar, and the mean that bills use."""

from __future__ import annotations

from collections.abc import Iterator

from zos.devchain.context import Context
from zos.devchain.fixed import num, rounded
from zos.devchain.pallets.origin import guarded
from zos.scale.pallet import Pallet, call, errors, event, mapping, value
from zos.scale.types import ACCOUNT, U16, U32, Tuple

NAME = "TFTPriceModule"
RING = 1440
"""Prices that the mean is made of."""
MOST = 2**32 - 1

PALLET = Pallet(
    name=NAME,
    index=28,
    path="pallet_tft_price",
    storage=(
        value("TftPrice", U32, 0),
        value("LastBlockSet", U32, 0),
        value("AverageTftPrice", U32, 0),
        mapping("TftPriceHistory", U16, U32, 0),
        value("BufferRange", Tuple((U16, U16)), (0, 0)),
        value("MinTftPrice", U32, 0),
        value("MaxTftPrice", U32, 0),
    ),
    calls=(
        call(0, "set_prices", is_free=True, price=U32, block_number=U32),
        call(2, "set_min_tft_price", price=U32),
        call(3, "set_max_tft_price", price=U32),
    ),
    events=(
        event("PriceStored", U32),
        event("OffchainWorkerExecuted", ACCOUNT),
        event("AveragePriceStored", U32),
        event("AveragePriceIsAboveMaxPrice", U32, U32),
        event("AveragePriceIsBelowMinPrice", U32, U32),
    ),
    errors=errors(
        """ErrFetchingPrice OffchainSignedTxError NoLocalAcctForSigning AccountUnauthorizedToSetPrice
        MaxPriceBelowMinPriceError MinPriceAboveMaxPriceError IsNotAnAuthority WrongAuthority"""
    ),
)


class Prices:
    def set_prices(self, ctx: Context, who: bytes, price: int, block_number: int) -> None:
        is_validator = who in ctx.get("ValidatorSet.Validators")
        ctx.need(is_validator, f"{NAME}.AccountUnauthorizedToSetPrice")
        ctx.put(f"{NAME}.LastBlockSet", block_number)
        ctx.put(f"{NAME}.TftPrice", price)
        ctx.emit(f"{NAME}.PriceStored", price)
        average = remember(ctx, price)
        ctx.emit(f"{NAME}.AveragePriceStored", average)
        lowest, highest = ctx.get(f"{NAME}.MinTftPrice"), ctx.get(f"{NAME}.MaxTftPrice")
        if average < lowest:
            ctx.emit(f"{NAME}.AveragePriceIsBelowMinPrice", average, lowest)
        if average > highest:
            ctx.emit(f"{NAME}.AveragePriceIsAboveMaxPrice", average, highest)

    @guarded
    def set_min_tft_price(self, ctx: Context, who: bytes, price: int) -> None:
        ctx.need(price < ctx.get(f"{NAME}.MaxTftPrice"), f"{NAME}.MinPriceAboveMaxPriceError")
        ctx.put(f"{NAME}.MinTftPrice", price)

    @guarded
    def set_max_tft_price(self, ctx: Context, who: bytes, price: int) -> None:
        ctx.need(price > ctx.get(f"{NAME}.MinTftPrice"), f"{NAME}.MaxPriceBelowMinPriceError")
        ctx.put(f"{NAME}.MaxTftPrice", price)


def remember(ctx: Context, price: int) -> int:
    """Put a price into the ring; returns the mean of all that are in it, and stores it."""
    start, end = ctx.get(f"{NAME}.BufferRange")
    ctx.put(f"{NAME}.TftPriceHistory", end, price)
    end = (end + 1) % RING
    if end == start:
        start = (start + 1) % RING
    ctx.put(f"{NAME}.BufferRange", (start, end))
    known = list(_known(ctx))
    average = rounded(num(min(sum(known), MOST)) // len(known))
    ctx.put(f"{NAME}.AverageTftPrice", average)
    return average


def _known(ctx: Context) -> Iterator[int]:
    for place in range(RING):
        if not ctx.has(f"{NAME}.TftPriceHistory", place):
            return
        yield int(ctx.get(f"{NAME}.TftPriceHistory", place))
