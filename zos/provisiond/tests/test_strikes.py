"""A contract that ends provisiond again and again is put aside, no other is, and nothing of it is removed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from zos import __version__
from zos.chain.api import ContractState, EventKind
from zos.provisiond.api.errors import PutAside
from zos.provisiond.specs import Specs
from zos.provisiond.strikes import MOST, Strike, Strikes
from zos.provisiond.tests import users as u
from zos.provisiond.tests.asked import VM, becomes, deployed, removed
from zos.provisiond.tests.host import FakeHost, node
from zos.runtime.ledger import Ledger

LIFE = """
import asyncio, ctypes, os, sys, time
from pathlib import Path
from zos.provisiond.strikes import Strike, Strikes
from zos.runtime.ledger import Ledger

folder, how = Path(sys.argv[1]), sys.argv[2]
strikes = Strikes(folder / "at-work", Ledger(folder / "strikes", Strike), lambda contract: sys.argv[3])

def say(word):
    os.write(1, word.encode() + b"\\n")

async def innocent():
    while True:
        await asyncio.sleep(60 if how in ("wait", "error") else 0.001)

async def poison():
    await asyncio.sleep(0.02)
    match how:
        case "exit":
            sys.exit(1)
        case "gone":
            os._exit(1)
        case "crash":
            ctypes.string_at(0)
        case "loop":
            say("in it")
            while True:
                pass
        case "wait":
            asyncio.get_running_loop().call_later(0.02, say, "in it")
            await asyncio.sleep(60)
        case "error":
            raise ValueError("caught by whoever runs it")

async def work(contract, what):
    try:
        await strikes.during(contract, what())
    except ValueError:
        say("in it")
        await asyncio.sleep(60)

async def main():
    if strikes.is_aside(5):
        say("aside")
        return
    async with asyncio.TaskGroup() as group:
        for contract in (4, 6):
            group.create_task(work(contract, innocent))
        group.create_task(work(5, poison))

asyncio.run(main())
strikes.close()
"""


def live(folder: Path, how: str, revision: str = "1") -> str:
    """One life of a process that works on contracts 4, 5 and 6; it is killed when it says that it is in it."""
    with subprocess.Popen(
        [sys.executable, "-c", LIFE, str(folder), how, revision], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline().decode().strip()
        if said == "in it":
            process.send_signal(signal.SIGKILL)
        process.wait(20)
    return said


def held(folder: Path) -> dict[str, int]:
    return {key: strike.count for key, strike in Ledger(folder / "strikes", Strike).items()}


@pytest.mark.process
@pytest.mark.parametrize("how", ["exit", "gone", "crash", "loop"])
def test_whoever_ends_the_process_by_his_work_is_put_aside(tmp_path: Path, how: str) -> None:
    for _ in range(MOST):
        assert live(tmp_path, how) != "aside"
    assert live(tmp_path, how) == "aside"
    assert held(tmp_path) == {"5": MOST}
    # A new document has one more chance, and is put aside at once when that is used up.
    assert live(tmp_path, how, "2") != "aside"
    assert live(tmp_path, how, "2") == "aside"


@pytest.mark.process
def test_kills_from_outside_accuse_nobody(tmp_path: Path) -> None:
    for _ in range(MOST + 2):
        assert live(tmp_path, "wait") == "in it"
    assert live(tmp_path, "error") == "in it"
    assert held(tmp_path) == {}
    # Hits by chance do not add up.
    for _ in range(MOST - 1):
        live(tmp_path, "gone")
    for how in ("wait", "gone", "gone"):
        assert live(tmp_path, how) != "aside"
    live(tmp_path, "wait")
    assert held(tmp_path) == {"5": MOST - 1}


def opened(folder: Path, revision: str = "1") -> Strikes:
    return Strikes(folder / "at-work", Ledger(folder / "strikes", Strike), lambda contract: revision)


def test_work_that_was_done_holds_nothing_against_its_contract(tmp_path: Path) -> None:
    for _ in range(3 * MOST):
        strikes = opened(tmp_path)
        strikes.done(5)
        (tmp_path / "at-work").write_bytes((5).to_bytes(8, "little"))
    assert not opened(tmp_path).is_aside(5)


def test_a_change_of_the_contract_and_another_release_are_another_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(MOST):
        opened(tmp_path)
        (tmp_path / "at-work").write_bytes((5).to_bytes(8, "little"))
    strikes = opened(tmp_path)
    with pytest.raises(PutAside, match="contract 5 is put aside"):
        strikes.require(5)
    strikes.forgive(5)
    strikes.require(5)
    (tmp_path / "at-work").write_bytes((5).to_bytes(8, "little"))
    assert opened(tmp_path).is_aside(5)
    monkeypatch.setattr("zos.provisiond.strikes.__version__", "9")
    assert not opened(tmp_path).is_aside(5)


async def test_what_the_work_answers_raises_and_awaits_is_its_own(tmp_path: Path) -> None:
    strikes = opened(tmp_path)
    seen: list[int] = []

    async def work(answer: Any) -> Any:
        seen.append(strikes._get())
        await asyncio.sleep(0)
        seen.append(strikes._get())
        if isinstance(answer, Exception):
            raise answer
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)

    with pytest.raises(KeyError):
        await strikes.during(7, work(KeyError("no")))
    with pytest.raises(TimeoutError):
        await strikes.during(8, work(None))
    task = asyncio.create_task(strikes.during(9, asyncio.sleep(60)))
    await asyncio.sleep(0)
    assert strikes._get() == 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == [7, 7, 8, 8]
    with strikes.at(3):
        pass
    assert strikes._get() == 0


def accuse(folder: Path, contract: int, revision: str) -> None:
    """As if provisiond had ended in the middle of that contract, once too often."""
    ledger = Ledger(folder / "run/provisiond/strikes", Strike)
    ledger.put(str(contract), Strike(MOST - 1, revision, __version__))
    (folder / "run/provisiond/at-work").write_bytes(contract.to_bytes(8, "little"))


@pytest.mark.virtual
async def test_one_that_is_put_aside_keeps_what_it_has_and_the_others_go_on(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, *VM):
        pass
    accuse(tmp_path, 5, "0")
    guests, held_before = dict(host.below.vmd.guests), dict(host.storaged.disks)
    other = u.document(6, u.zmount("other"))
    u.contract(host, 6, other)
    async with node(tmp_path, host) as client:
        asked = len(host.vmd.calls)
        await client.deploy(u.signed(other), u.TWIN)
        await becomes(client, 6, "other", "ok")
        why = await client.why(5)
        assert "contract 5 is put aside" in why.sentence
        assert "another version" in why.sentence
        assert why.history[-1].what == "aside"
        assert "put aside" in (await client.why(5, "vm1")).sentence
        await asyncio.sleep(30)
        assert len(host.vmd.calls) == asked
        assert (host.below.vmd.guests, host.storaged.dropped) == (guests, [])
        assert held_before.items() <= host.storaged.disks.items()
        new = u.document(5, *VM, {**u.zmount("more"), "version": 1}, version=1)
        u.contract(host, 5, new)
        await client.update(u.signed(new), u.TWIN)
        await becomes(client, 5, "more", "ok")
        async with asyncio.timeout(60):
            while "put aside" in (await client.why(5)).sentence:
                await asyncio.sleep(0.01)
    assert Ledger(tmp_path / "run/provisiond/strikes", Strike).keys() == ()


@pytest.mark.virtual
async def test_one_that_is_put_aside_and_cancelled_has_its_end(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, *VM):
        pass
    accuse(tmp_path, 5, "0")
    async with node(tmp_path, host) as client:
        assert "put aside" in (await client.why(5)).sentence
        u.cancel(host, 5)
        await removed(client, 5)
    assert not host.below.vmd.guests


@pytest.mark.virtual
async def test_what_one_that_is_put_aside_takes_counts_as_before(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, *VM) as client:
        before = await client.usage()
    assert before.mru
    accuse(tmp_path, 5, "0")
    host.chain.reported.clear()
    async with node(tmp_path, host) as client:
        assert "put aside" in (await client.why(5)).sentence
        assert await client.usage() == before
        await asyncio.sleep(10)
        assert [one.mru for one in host.chain.reported] in ([], [before.mru])
        u.cancel(host, 5)
        await removed(client, 5)
        assert not (await client.usage()).mru


@pytest.mark.virtual
async def test_one_that_is_put_aside_and_not_paid_is_paused(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, *VM):
        pass
    accuse(tmp_path, 5, "0")
    async with node(tmp_path, host) as client:
        assert "put aside" in (await client.why(5)).sentence
        u.contract(host, 5, u.document(5, *VM), state=ContractState.GRACE)
        u.happened(host, EventKind.GRACE_STARTED, 5)
        await becomes(client, 5, "vm1", "paused")


@pytest.mark.virtual
async def test_machines_of_one_that_is_over_are_stopped_without_a_look_at_its_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, *VM):
        pass
    monkeypatch.setattr(Strikes, "is_aside", lambda strikes, contract: contract == 5)

    def poison(specs: Specs, *asked: Any) -> Any:
        raise AssertionError("its document is read")

    async with node(tmp_path, host) as client:
        monkeypatch.setattr(Specs, "of", poison)
        u.cancel(host, 5)
        async with asyncio.timeout(60):
            while host.below.vmd.guests:
                await asyncio.sleep(0.1)
        assert (await client.why(5)).history[-1].what == "chain"
    assert not host.storaged.dropped
