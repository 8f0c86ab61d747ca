"""What a user asks of a node: by the sockets of its daemons where those are, else by RMB, as the contract's twin."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Iterable
from typing import Any, Protocol

import msgspec

from zos.bus.client import Bus
from zos.errors import Status, ZosError
from zos.model.names import workload_id
from zos.networkd.api import NetworkdClient
from zos.provisiond.api import ProvisiondClient
from zos.provisiond.api.types import Progress, Why
from zos.rmb.errors import NoAnswer, Refused
from zos.rmb.peer import Peer
from zos.vmd.api import VmdClient
from zos.vmd.api.types import MachineId

DEADLINE = 20.0
AGAIN = 2.0
"""Seconds until a node that gave no answer is asked again by who waits."""
PAUSE = 0.5
"""Seconds after an answer without news, for which a node of ours has waited itself."""
TYPED = 4 * 1024
"""Bytes that a node takes at once as typed."""


class NodeSays(ZosError):
    """The node's own refusal, or no answer by the bus."""

    reason = "cli.node_says"
    status = Status.UNAVAILABLE
    text = "node {node}: {problem}"


class NodeAccess(Protocol):
    """A node, for whoever has deployments there."""

    id: int
    """On the chain; 0 while it has none."""

    async def get(self, contract: int) -> dict[str, Any]:
        """A deployment with its results."""

    async def deployments(self, twin: int) -> list[dict[str, Any]]:
        """A twin's deployments."""

    async def why(self, contract: int, workload: str = "") -> Why:
        """Why a deployment or one of its workloads is as it is."""

    def watch(self, contract: int) -> AsyncGenerator[Progress, None]:
        """The workloads' states, then each change."""

    async def wg_ports(self) -> Iterable[int]:
        """UDP ports that networks listen on."""

    def console(self, twin: int, contract: int, name: str, most: int) -> AsyncGenerator[bytes, None]:
        """The last bytes of a machine's console, then what comes."""

    async def logs(self, twin: int, contract: int, name: str, most: int) -> bytes:
        """The last bytes of a machine's console."""

    async def type(self, twin: int, contract: int, name: str, data: bytes) -> None:
        """Type on a machine's console."""


class NearNode:
    """A node whose daemons' sockets are here."""

    def __init__(self, id: int, box: str, bus: Bus) -> None:
        """`box` is its name in the lab; empty elsewhere."""
        self.id = id
        self.box = box
        self.bus = bus
        self._provisiond = ProvisiondClient(bus)
        self._vmd = VmdClient(bus)

    def __str__(self) -> str:
        return f"node {self.id} ({self.box})" if self.box else f"node {self.id}"

    async def get(self, contract: int) -> dict[str, Any]:
        return await self._provisiond.get(contract)

    async def deployments(self, twin: int) -> list[dict[str, Any]]:
        return await self._provisiond.list(twin)

    async def brief(self) -> list[dict[str, Any]]:
        """All deployments, of whatever twin."""
        return await self._provisiond.brief()

    async def why(self, contract: int, workload: str = "") -> Why:
        return await self._provisiond.why(contract, workload)

    def watch(self, contract: int) -> AsyncGenerator[Progress, None]:
        return self._provisiond.watch(contract)

    async def wg_ports(self) -> Iterable[int]:
        return await NetworkdClient(self.bus).wg_ports()

    def console(self, twin: int, contract: int, name: str, most: int) -> AsyncGenerator[bytes, None]:
        return self._vmd.watch_console(_machine(twin, contract, name), most)

    async def logs(self, twin: int, contract: int, name: str, most: int) -> bytes:
        return await self._vmd.read_console(_machine(twin, contract, name), most)

    async def type(self, twin: int, contract: int, name: str, data: bytes) -> None:
        await self._vmd.send_console(_machine(twin, contract, name), data)


def _machine(twin: int, contract: int, name: str) -> MachineId:
    return MachineId(workload_id(twin, contract, name))


class FarNode:
    """A node that is asked by RMB; it tells the user's twin what is the twin's own."""

    def __init__(self, id: int, twin: int, peer: Peer) -> None:
        """`twin` is the node's, `peer` the user's."""
        self.id = id
        self._twin = twin
        self._peer = peer

    async def _ask(self, command: str, **arguments: Any) -> Any:
        try:
            answer = await self._peer.call(self._twin, command, json.dumps(arguments).encode(), deadline=DEADLINE)
            return json.loads(answer)
        except (Refused, NoAnswer) as err:
            raise NodeSays(node=self.id, problem=err.explain()) from None
        except ValueError:
            raise NodeSays(node=self.id, problem=f"its answer to {command} is no JSON") from None

    async def _told(self, what: Any, command: str, **arguments: Any) -> Any:
        """A typed answer."""
        try:
            return msgspec.convert(await self._ask(command, **arguments), what)
        except msgspec.ValidationError as err:
            raise NodeSays(node=self.id, problem=f"its answer to {command} is not understood: {err}") from None

    async def get(self, contract: int) -> dict[str, Any]:
        found: dict[str, Any] = await self._told(dict[str, Any], "zos.deployment.get", contract_id=contract)
        return found

    async def deployments(self, twin: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._told(list[dict[str, Any]], "zos.deployment.list")
        return found

    async def why(self, contract: int, workload: str = "") -> Why:
        found: Why = await self._told(Why, "zos.deployment.why", contract_id=contract, name=workload)
        return found

    async def watch(self, contract: int) -> AsyncGenerator[Progress, None]:
        seen = ""
        while True:
            try:
                told: _Watched = await self._told(_Watched, "zos.deployment.watch", contract_id=contract, seen=seen)
            except ZosError as err:
                # It may not have seen the contract yet; whoever waits has a deadline, and reads this meanwhile.
                yield Progress(contract, "", "", "init", err.explain(), 0.0)
                await asyncio.sleep(AGAIN)
                continue
            if told.seen == seen:
                await asyncio.sleep(PAUSE)
                continue
            seen = told.seen
            for progress in told.progress:
                yield progress

    async def wg_ports(self) -> Iterable[int]:
        found: list[int] = await self._told(list[int], "zos.network.list_wg_ports")
        return found

    async def console(self, twin: int, contract: int, name: str, most: int) -> AsyncGenerator[bytes, None]:
        asked: dict[str, Any] = {"contract_id": contract, "name": name, "bytes": most}
        while True:
            told: _Console = await self._told(_Console, "zos.deployment.console", **asked)
            if told.data:
                yield told.data
            else:
                await asyncio.sleep(PAUSE)
            if told.end:
                asked["since"] = told.end

    async def logs(self, twin: int, contract: int, name: str, most: int) -> bytes:
        asked = {"contract_id": contract, "name": name, "bytes": most}
        told: _Console = await self._told(_Console, "zos.deployment.console", **asked)
        return told.data

    async def type(self, twin: int, contract: int, name: str, data: bytes) -> None:
        for at in range(0, len(data), TYPED):
            text = base64.b64encode(data[at : at + TYPED]).decode()
            await self._ask("zos.deployment.type", contract_id=contract, name=name, data=text)


class _Watched(msgspec.Struct):
    progress: list[Progress]
    seen: str


class _Console(msgspec.Struct):
    data: bytes
    end: int
