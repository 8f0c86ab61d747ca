"""libnftables in this process: its words, what it leaves, and what happens when it cannot go on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from zos.networkd import nft
from zos.networkd.host import libnftables, nftables, nsthread
from zos.networkd.host.libnftables import Connection, Refused

pytestmark = [pytest.mark.root, pytest.mark.timeout(30)]

ROOT = Path(__file__).resolve().parents[2]
ONE = nft.table("  set s {\n    type ipv4_addr\n  }\n", name="one")
TWO = nft.table("", name="two")


def there(*names: str) -> list[str]:
    with nftables.Reader() as reader:
        return [name for name in names if reader.digest(name)]


async def test_a_refused_transaction_leaves_nothing_and_says_why_in_nfts_words():
    def work() -> tuple[list[str], str]:
        with contextlib.closing(Connection()) as connection:
            connection.apply(ONE)
            with pytest.raises(Refused) as caught:
                connection.apply(f"{TWO}add rule inet nowhere input accept\n")
            connection.apply("add element inet one s { 192.0.2.1 }\n")
            with nftables.Reader() as reader:
                assert reader.known(["s", "none"], "one") == {"s": {"192.0.2.1"}}
            return there("one", "two"), str(caught.value.strerror)

    tables, words = await nsthread.run_in_scratch(work)
    assert tables == ["one"]
    assert words.startswith("Error: Could not process rule: No such file or directory\n")


async def test_what_another_changed_behind_an_open_connection_is_seen():
    def work() -> list[str]:
        with contextlib.closing(Connection()) as kept, contextlib.closing(Connection()) as other:
            for _ in range(3):
                kept.apply(f"{ONE}add element inet one s {{ 192.0.2.1 }}\n")
                other.apply("flush set inet one s\n")
                kept.apply("add element inet one s { 192.0.2.1 }\ndelete element inet one s { 192.0.2.1 }\n")
                other.apply("flush ruleset\n")
                kept.apply(f"{TWO}{ONE}")
                other.apply("delete table inet one\n")
            return there("one", "two")

    assert await nsthread.run_in_scratch(work) == ["two"]


async def test_words_are_bounded_however_long_a_line_is():
    def work() -> str:
        with contextlib.closing(Connection()) as connection, pytest.raises(Refused) as caught:
            connection.apply("\n".join(f"add rule inet {'long' * 9000} {n} accept" for n in range(20)))
        return str(caught.value.strerror)

    words = await nsthread.run_in_scratch(work)
    assert words.startswith("Error: ")
    assert len(words) <= 2000


async def test_what_is_over_leaves_no_descriptor():
    def work() -> tuple[int, int]:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            with contextlib.closing(Connection()) as connection, contextlib.suppress(Refused):
                connection.apply("nonsense")
        return before, len(os.listdir("/proc/self/fd"))

    before, after = await nsthread.run_in_scratch(work)
    assert after <= before


WITHOUT = """
import os, resource
from zos.networkd.host.libnftables import Connection, _library
_library()
resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
try:
    while True:
        os.dup(0)
except OSError:
    pass
try:
    Connection()
except OSError as err:
    print("raised", err.strerror)
"""


def test_without_a_free_descriptor_it_raises_where_the_library_would_end_the_daemon():
    done = subprocess.run([sys.executable, "-c", WITHOUT], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, "raised Too many open files\n")


async def test_what_nobody_waits_for_any_more_is_not_done_later():
    tables = nftables.Tables()
    with libnftables.turn():
        waiting = asyncio.create_task(tables.apply(TWO))
        name = "work in the root namespace"
        async with asyncio.timeout(5):
            while not (threads := [one for one in threading.enumerate() if one.name == name]):
                await asyncio.sleep(0.005)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
    for thread in threads:
        await asyncio.to_thread(thread.join, 5)
    assert await nsthread.run(lambda: there("two")) == []
