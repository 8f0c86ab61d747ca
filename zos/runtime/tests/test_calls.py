"""Who may call what, and that a daemon's socket holds its callers to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from zos.bus.errors import PermissionDenied
from zos.bus.front import ROOT, Credentials
from zos.runtime import users
from zos.runtime.calls import CALLS, may_call, name_of
from zos.runtime.daemon import Daemon, Runtime
from zos.runtime.testing import running
from zos.vmd.api import MachineId, VmdClient, vmd_pb2, vmd_pb2_grpc

VMD = "/zos.vmd.v1.Vmd/"


def test_a_caller_may_call_what_the_table_says_and_root_all():
    assert may_call("rmb", VMD + "GetMachine")
    assert not may_call("rmb", VMD + "EnsureMachine")
    assert not may_call("rmb", "/zos.storaged.v1.Storaged/DropDisk")
    assert not may_call("capacityd", "/zos.chain.v1.Chain/ReportResources")
    assert may_call(ROOT, VMD + "EnsureMachine")
    for caller in ("", "vmd", "user-1000", "core0"):
        assert not may_call(caller, VMD + "GetMachine")


def test_a_name_that_two_services_have_is_one_daemons():
    assert may_call("rmb", "/zos.provisiond.v1.Provisiond/Watch")
    for method in ("/grpc.health.v1.Health/Watch", "/grpc.provisiond.v1.Provisiond/Watch", "Watch", "/Watch", ""):
        assert not may_call("rmb", method)
    assert may_call(ROOT, "/grpc.health.v1.Health/Check")


def test_data_and_machines_end_by_provisiond_alone():
    ends = {"DropDisk", "DropVolume", "DropMachine", "DropNetwork", "DropTap", "DropNamespace", "DropMount"}
    makes = {"EnsureDisk", "EnsureVolume", "FillDisk", "EnsureMachine", "EnsureNetwork", "EnsureTap", "EnsureMount"}
    for caller, daemons in CALLS.items():
        called = {method for methods in daemons.values() for method in methods}
        assert bool(called & (ends | makes | {"ReportResources"})) == (caller == "provisiond"), caller
        assert "Undelete" not in called


def test_users_are_their_daemons_and_nobody_else_is_one():
    assert name_of(Credentials(1, users.RMB, users.RMB)) == "rmb"
    # Groups are no names: he who is in one is not the daemon.
    assert name_of(Credentials(1, 1234567, users.RMB)) == "user-1234567"
    assert name_of(Credentials(1, users.GUESTS[0], users.VMD)) == f"user-{users.GUESTS[0]}"
    assert name_of(Credentials(1, 0, 0)) == name_of(Credentials(1, os.geteuid(), 0)) == ROOT


class Service(vmd_pb2_grpc.VmdServicer):
    def __init__(self, done: list[str]) -> None:
        self.done = done

    async def DropMachine(self, request: Any, context: Any) -> Any:
        self.done.append("DropMachine")
        return vmd_pb2.DropMachineReply()

    async def ReadConsole(self, request: Any, context: Any) -> Any:
        return vmd_pb2.ConsoleBytes(data=b"hello")

    async def WatchConsole(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.done.append("WatchConsole")
        yield vmd_pb2.ConsoleBytes(data=b"hello", end=5)


@dataclass(frozen=True, slots=True)
class NoConfig:
    pass


class Stand(Daemon):
    """vmd's API; every caller is `host[0]`, or by his user when there is none, and `host[1]` is told what was done."""

    name = "vmd"
    config = NoConfig

    async def open(self, rt: Runtime) -> None:
        name, done = rt.host(tuple)
        if name is not None:
            rt.know_callers(lambda _: name)
        rt.serve(Service(done), vmd_pb2_grpc.add_VmdServicer_to_server)


async def test_a_daemon_that_was_taken_over_reads_and_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    done: list[str] = []
    async with running(Stand, tmp_path, host=("rmb", done)) as rt:
        client = VmdClient(rt.bus)
        assert await client.read_console(MachineId("a")) == b"hello"
        for _ in range(3):
            with pytest.raises(PermissionDenied, match=r"^rmb may not call zos\.vmd\.v1\.Vmd/DropMachine$"):
                await client.drop_machine(MachineId("a"))
    assert done == []
    assert caplog.text.count("rmb called /zos.vmd.v1.Vmd/DropMachine") == 1


@pytest.mark.parametrize("name", ["", "provisiond", "user-1000"])
async def test_a_stream_is_refused_before_it_begins(tmp_path: Path, name: str):
    done: list[str] = []
    async with running(Stand, tmp_path, host=(name, done)) as rt:
        with pytest.raises(PermissionDenied):
            await anext(VmdClient(rt.bus).watch_console(MachineId("a")))
    assert done == []


async def test_whoever_runs_the_node_may_call_all_of_it_as_often_as_he_likes(tmp_path: Path):
    done: list[str] = []
    async with running(Stand, tmp_path, host=(None, done)) as rt, asyncio.TaskGroup() as group:
        for _ in range(40):
            group.create_task(VmdClient(rt.bus).drop_machine(MachineId("a")))
    assert done == ["DropMachine"] * 40
