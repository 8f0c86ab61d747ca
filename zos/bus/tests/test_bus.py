"""Errors, deadlines and types across a real socket."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

import pytest

from zos.bus import Bus, Incident, TooSlow, Unreachable, convert
from zos.bus.errors import Unknown
from zos.core0.api import Core0Client, Identity, Purpose, UnitInfo, UnitState, core0_pb2, core0_pb2_grpc
from zos.errors import Kind, Status, ZosError
from zos.runtime.daemon import Daemon, Runtime
from zos.runtime.testing import running


class Refused(ZosError):
    reason = "test.refused"
    status = Status.RESOURCE_EXHAUSTED
    text = "no room for {need}"
    hint = "free {need}"


class Because(ZosError):
    reason = "test.because"
    status = Status.NOT_FOUND
    text = "disk {disk} is gone"


class Away(ZosError):
    reason = "test.away"
    status = Status.DEADLINE_EXCEEDED
    text = "{program} took too long"


class Service(core0_pb2_grpc.Core0Servicer):
    async def GetIdentity(self, request, context):
        await asyncio.sleep(30)

    async def Sign(self, request, context):
        if request.payload == b"refuse":
            raise Refused(need="5 GiB") from Because(disk="a")
        if request.payload == b"away":
            raise Away(program="wg") from Because(disk="a")
        raise ValueError("a bug with a secret inside")

    async def ListUnits(self, request, context):
        unit = UnitInfo("storaged", UnitState.RUNNING, 7, 1, 2.5, 0.0, "fine")
        return core0_pb2.Units(units=[convert.encode(unit, core0_pb2.UnitInfo)])


@dataclass(frozen=True, slots=True)
class NoConfig:
    pass


class Core0Stand(Daemon):
    name = "core0"
    config = NoConfig

    async def open(self, rt: Runtime) -> None:
        rt.serve(Service(), core0_pb2_grpc.add_Core0Servicer_to_server)


async def test_a_refusal_comes_back_as_its_class_with_facts_and_causes(tmp_path: Path):
    async with running(Core0Stand, tmp_path) as rt:
        with pytest.raises(Refused) as caught:
            await Core0Client(rt.bus).sign(Purpose.CHAIN, b"refuse")
    assert caught.value.facts == {"need": "5 GiB"}
    assert caught.value.advice() == "free 5 GiB"
    assert caught.value.explain() == "no room for 5 GiB: disk a is gone"
    assert isinstance(caught.value.__cause__, Because)


async def test_what_may_pass_may_pass_also_where_its_class_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delitem(ZosError.known, Away.reason)
    monkeypatch.delitem(ZosError.known, Because.reason)
    async with running(Core0Stand, tmp_path) as rt:
        with pytest.raises(Unknown) as caught:
            await Core0Client(rt.bus).sign(Purpose.CHAIN, b"away")
    assert caught.value.kind is Kind.NOT_NOW
    assert caught.value.explain() == "wg took too long: a"


async def test_a_bug_gives_an_incident_and_keeps_its_text_in_the_journal(tmp_path: Path, caplog):
    with caplog.at_level(logging.ERROR):
        async with running(Core0Stand, tmp_path) as rt:
            with pytest.raises(Incident) as caught:
                await Core0Client(rt.bus).sign(Purpose.CHAIN, b"crash")
    assert "secret" not in str(caught.value)
    assert caught.value.facts["incident"] in caplog.text
    assert "a bug with a secret inside" in caplog.text


async def test_a_slow_call_ends_at_its_deadline(tmp_path: Path):
    async with running(Core0Stand, tmp_path) as rt:
        client = Core0Client(rt.bus)
        with pytest.raises(TooSlow):
            await client.call("GetIdentity", core0_pb2.GetIdentityRequest(), deadline=0.05)


async def test_a_missing_daemon_is_unreachable_and_named(tmp_path: Path):
    async with Bus(tmp_path) as bus:
        with pytest.raises(Unreachable, match=r"core0 does not answer on .*core0/bus\.sock"):
            await Core0Client(bus).units()


async def test_a_daemon_that_comes_back_is_reached_again_by_the_same_client(tmp_path: Path):
    async with Bus(tmp_path / "run") as bus:
        client = Core0Client(bus)
        for _ in range(2):
            async with running(Core0Stand, tmp_path):
                async with asyncio.timeout(5):
                    while True:
                        try:
                            units = await client.units()
                            break
                        except Unreachable:
                            await asyncio.sleep(0.02)
            assert units[0].state is UnitState.RUNNING


async def test_the_socket_is_for_its_owner_and_his_group_only(tmp_path: Path):
    async with running(Core0Stand, tmp_path) as rt:
        assert rt.bus.socket("core0").stat().st_mode & 0o777 == 0o660


def test_types_survive_the_round_trip():
    identity = Identity(b"\x01" * 32, "5F", b"\x02" * 33)
    assert convert.decode(convert.encode(identity, core0_pb2.Identity), Identity) == identity
