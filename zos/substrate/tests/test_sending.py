"""A call takes effect once: through cut lines, reorganisations, rivals for its nonce, and its era's end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from zos.devchain.testing import Devchain, devchain, line
from zos.substrate import Chain, Included, LocalKey, NotIncluded, address
from zos.substrate.errors import CannotPay
from zos.substrate.runtime import Era

ALICE = LocalKey.of_text("//Alice")
BOB = LocalKey.of_text("//Bob")
AMOUNT = 1_000_000
PAY = {"dest": {"Id": BOB.public}, "value": AMOUNT}


def paying(chain: Chain, **how: Any) -> asyncio.Task[Included]:
    return asyncio.create_task(chain.submit("Balances", "transfer_keep_alive", PAY, ALICE, **how))


def got(dev: Devchain) -> int:
    """What Bob has beyond his endowment."""
    return int(dev.node.typed().get("System.Account", BOB.public)["data"]["free"]) - 2**60


def nonce(dev: Devchain) -> int:
    return int(dev.node.typed().get("System.Account", ALICE.public)["nonce"])


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


async def test_a_line_cut_after_the_call_was_taken_does_not_double_it() -> None:
    async with devchain(0) as dev, line(dev) as way, Chain([way.url], quiet=0.05) as chain:
        task = paying(chain)
        await until(lambda: len(dev.node.pool) > 0)
        way.cut()
        dev.node.make_block()
        done = await task
        assert (got(dev), nonce(dev)) == (AMOUNT, 1)
        assert done.event("Balances", "Transfer") is not None


async def test_a_line_cut_before_the_block_sends_the_same_bytes_again() -> None:
    async with devchain(0) as dev, line(dev) as way, Chain([way.url], quiet=0.05) as chain:
        task = paying(chain)
        await until(lambda: len(dev.node.pool) > 0)
        (before,) = dev.node.pending()
        way.cut()
        await until(lambda: way.calls >= 2)
        (after,) = dev.node.pending()
        assert after.raw == before.raw
        dev.node.make_block()
        await task
        assert (got(dev), nonce(dev)) == (AMOUNT, 1)


async def test_a_call_that_a_restarted_endpoint_forgot_is_sent_again() -> None:
    async with devchain(0) as dev, line(dev) as way, Chain([way.url], quiet=0.05) as chain:
        task = paying(chain)
        await until(lambda: len(dev.node.pool) > 0)
        (lost,) = dev.node.pool
        dev.node.pool.take(lost.extrinsic.account, lost.extrinsic.nonce)
        way.cut()
        await until(lambda: len(dev.node.pool) > 0)
        dev.node.make_block()
        await task
        assert (got(dev), nonce(dev)) == (AMOUNT, 1)


async def test_a_chain_that_says_nothing_is_looked_at() -> None:
    async with devchain(0) as dev, Chain([dev.url], quiet=0.05) as chain:
        task = paying(chain)
        await until(lambda: len(dev.node.pool) > 0)
        for pending in dev.node.pool:
            pending.watchers.clear()
        dev.node.make_block()
        await task
        assert (got(dev), nonce(dev)) == (AMOUNT, 1)


async def test_a_rival_for_the_nonce_makes_a_new_signature() -> None:
    async with devchain(0) as dev, Chain([dev.url], quiet=0.05) as chain:
        task = paying(chain)
        await until(lambda: len(dev.node.pool) > 0)
        runtime = await chain.runtime()
        call = runtime.call("System", "remark", {"remark": b"first"})
        extra = runtime.unsigned_part(Era(), 0, tip=5)
        payload = runtime.payload(call, extra, dev.node.genesis_hash, dev.node.genesis_hash)
        dev.node.submit(runtime.extrinsic(call, extra, ALICE.public, ALICE.kind, ALICE.signed(payload)))
        dev.node.make_block()
        assert got(dev) == 0
        await until(lambda: len(dev.node.pool) > 0)
        dev.node.make_block()
        await task
        assert (got(dev), nonce(dev)) == (AMOUNT, 2)


async def test_an_era_that_ended_makes_a_new_signature() -> None:
    async with devchain(0) as dev, Chain([dev.url], quiet=0.05) as chain:
        task = paying(chain)
        await until(lambda: len(dev.node.pool) > 0)
        kept = dev.node.pool.take(ALICE.public, 0)
        for _ in range(70):
            dev.node.make_block()
        assert kept
        await until(lambda: len(dev.node.pool) > 0)
        dev.node.make_block()
        await task
        assert (got(dev), nonce(dev)) == (AMOUNT, 1)


async def test_a_final_call_is_followed_through_a_reorganisation() -> None:
    async with devchain(0) as dev, Chain([dev.url], quiet=0.05) as chain:
        dev.node.make_block()
        dev.node.faults.unfinal = True
        task = paying(chain, final=True)
        await until(lambda: len(dev.node.pool) > 0)
        lost = dev.node.make_block()
        await until(lambda: not dev.node.pool)
        dev.node.reorganise(1)
        dev.node.make_block()
        await until(lambda: len(dev.node.pool) > 0)
        dev.node.make_block()
        assert not task.done()
        dev.node.faults.unfinal = False
        dev.node.finalize()
        done = await task
        assert done.block.hash != "0x" + lost.hash.hex()
        assert (got(dev), nonce(dev)) == (AMOUNT, 1)


async def test_time_over_says_that_it_is_open() -> None:
    async with devchain(0) as dev, Chain([dev.url]) as chain:
        with pytest.raises(NotIncluded, match="is in no block after"):
            await paying(chain, deadline=0.2)


async def test_an_account_without_money_is_rejected_by_name() -> None:
    async with devchain(0.02) as dev, Chain([dev.url]) as chain:
        with pytest.raises(CannotPay, match="Inability to pay some fees") as refused:
            await chain.submit("System", "remark", {"remark": b""}, LocalKey.of_text("//Nobody"))
        assert f"zos devchain fund {address(LocalKey.of_text('//Nobody').public)}" in refused.value.advice()
