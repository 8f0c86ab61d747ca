"""What a command works with: its output, the chain, the user's key and records, the daemons of nodes."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zos.bus.client import RUN_DIR, Bus
from zos.chain.api import ChainClient
from zos.cli.client.nodes import FarNode, NearNode, NodeAccess
from zos.cli.client.relays import joined
from zos.cli.out import Out
from zos.cli.parsing import STATE_DEFAULT
from zos.errors import Status, ZosError
from zos.lab import record as records
from zos.lab.addresses import Addresses
from zos.lab.topology import Layout
from zos.rmb.peer import Peer
from zos.runtime.files import write_atomic
from zos.substrate import Chain, KeyKind, LocalKey, address

RECORD_VERSION = 3


class NoChain(ZosError):
    """No URL was given and no lab is running."""

    reason = "cli.no_chain"
    status = Status.FAILED_PRECONDITION
    text = "no chain was named"
    hint = "give --chain URL or set ZOS_CHAIN, or start a lab: zos lab up"


class NoKey(ZosError):
    """The user's key cannot be read."""

    reason = "cli.no_key"
    status = Status.FAILED_PRECONDITION
    text = "your key cannot be read from {path}: {problem}"
    hint = "make one with `zos key new {path}`, or name yours with --key FILE or ZOS_KEY"


class NoTwin(ZosError):
    """The key has no twin."""

    reason = "cli.no_twin"
    status = Status.FAILED_PRECONDITION
    text = "your account {address} has no twin on this chain"
    hint = "make one: zos twin create"


class NoWayToNode(ZosError):
    """The sockets of the node's daemons are not here."""

    reason = "cli.no_way_to_node"
    status = Status.UNAVAILABLE
    text = "the daemons of node {node} cannot be reached from here; those that can: {near}"
    hint = "run this on the node itself, or on the machine that runs its lab; zos node list has the nodes of the chain"


class NotHere(ZosError):
    """No node that can be asked has the contract's deployment."""

    reason = "cli.not_here"
    status = Status.NOT_FOUND
    text = "no node that can be asked from here has a deployment of {what}"
    hint = "zos ps lists what you run, zos contract list --mine what you have reserved"


@dataclass
class Context:
    """One run of the command line."""

    out: Out
    chain_url: str
    key_file: Path
    key_given: bool = True
    """The user named the file, so the lab's key must not replace it."""
    state_given: str = ""
    lab_name: str = ""
    """Which of the machine's labs; the default one when it is empty."""
    layout: Layout = field(default_factory=Layout)
    by_rmb: bool = False
    """Ask every node by RMB, also those whose sockets are here."""
    _chain: Chain | None = None
    _peer: Peer | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _buses: list[Bus] = field(default_factory=list)

    async def __aenter__(self) -> Context:
        if self.lab_name:
            self.layout = Layout.of(self.lab_name)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        if self._chain is not None:
            await self._chain.close()
        for bus in self._buses:
            await bus.close()

    @property
    def lab(self) -> Addresses | None:
        """The lab's addresses when it is running and no other chain was named."""
        found = records.read(self.layout)
        if found is None or self.chain_url not in ("", found.topology.addresses.chain_url):
            return None
        return found.topology.addresses

    def chain(self) -> Chain:
        """The chain, connected on first use."""
        if self._chain is None:
            url = self.chain_url or (self.lab.chain_url if self.lab else "")
            if not url:
                raise NoChain()
            self._chain = Chain(url.split(","))
        return self._chain

    @property
    def hub_url(self) -> str:
        """The hub from which nodes fetch signed deployments; empty if none was named."""
        return os.environ.get("ZOS_HUB", "") or (self.lab.hub_url if self.lab else "")

    @property
    def relay_urls(self) -> tuple[str, ...]:
        """The RMB relays that were named, or the lab's; empty: those that the user's twin names on the chain."""
        named = tuple(url for url in os.environ.get("ZOS_RELAY", "").split(",") if url)
        return named or ((self.lab.relay_url,) if self.lab else ())

    def key(self) -> LocalKey:
        """Reads the user's key file; in a lab the lab's user is the default. Raises NoKey."""
        path = self.key_file
        if not self.key_given and not path.exists() and self.lab:
            path = self.layout.user_key
        try:
            text = path.read_text().strip()
        except OSError as err:
            raise NoKey(path=path, problem=err.strerror or err) from None
        kind = KeyKind.SR25519
        if text.startswith("ed25519:"):
            text, kind = text.removeprefix("ed25519:"), KeyKind.ED25519
        return LocalKey.of_text(text, kind)

    async def twin(self) -> int:
        """Asks the chain for the id of the twin that has the user's key. Raises NoTwin."""
        key = self.key()
        found = await self.chain().query("TfgridModule", "TwinIdByAccountID", key.public)
        if not found:
            raise NoTwin(address=address(key.public))
        return int(found)

    # The nodes

    def sockets(self) -> list[Path]:
        """Folders of daemons' sockets that can be reached from here: the lab's nodes, or this node's own."""
        found = sorted(path.parents[1] for path in self.layout.run.glob("*/zos/provisiond/bus.sock"))
        if not found and (RUN_DIR / "provisiond/bus.sock").exists():
            found = [RUN_DIR]
        return found

    async def near(self) -> AsyncIterator[NearNode]:
        """Every node whose sockets are here."""
        for folder in self.sockets():
            bus, id = Bus(folder), 0
            self._buses.append(bus)
            with contextlib.suppress(ZosError):
                id = (await ChainClient(bus).status()).node
            yield NearNode(id, folder.parent.name if folder.is_relative_to(self.layout.run) else "", bus)

    async def which(self, name: str) -> NearNode:
        """The node of an id on the chain or of a name in the lab; with an empty name, the first."""
        near = [one async for one in self.near()]
        for one in near:
            if name in ("", one.box) or (name.isdigit() and int(name) == one.id != 0):
                return one
        raise NoWayToNode(node=name or "(any)", near=", ".join(map(str, near)) or "none")

    async def node(self, id: int) -> NodeAccess:
        """A node by its id on the chain: by its sockets where they are here, else by RMB."""
        if not self.by_rmb:
            with contextlib.suppress(NoWayToNode):
                return await self.which(str(id))
        return await self._far(id)

    async def _far(self, id: int) -> FarNode:
        found = await self.chain().query("TfgridModule", "Nodes", id)
        if found is None:
            raise NoWayToNode(node=id, near="none")
        if self._peer is None:
            self._peer = await self._stack.enter_async_context(joined(self))
        return FarNode(id, int(found["twin_id"]), self._peer)

    async def deployment(self, contract: int) -> tuple[NodeAccess, dict[str, Any]]:
        """The node that has a contract's deployment, and the deployment. Raises NotHere."""
        async for one in self.near():
            with contextlib.suppress(ZosError):
                if not self.by_rmb:
                    return one, await one.get(contract)
        node = await self.node_of(contract)
        return node, await node.get(contract)

    async def node_of(self, contract: int) -> NodeAccess:
        """The node on which a contract reserves. Raises NotHere."""
        found = await self.chain().query("SmartContractModule", "Contracts", contract)
        kind = found["contract_type"] if found else None
        if not isinstance(kind, dict) or "NodeContract" not in kind:
            raise NotHere(what=f"contract {contract}")
        return await self.node(int(kind["NodeContract"]["node_id"]))

    # The user's own records

    @property
    def state(self) -> Path:
        """The folder of the records: the given one, else the lab's (they end with it), else the user's."""
        if self.state_given:
            return Path(self.state_given).expanduser()
        return self.layout.records if self.lab else Path(STATE_DEFAULT).expanduser()

    def remember(self, record: dict[str, Any]) -> None:
        """Write the record of a deployment, readable by the user only: it holds private keys."""
        self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        text = json.dumps({**record, "version": RECORD_VERSION}, indent=1)
        write_atomic(self._record(record), text.encode())
        self._drop_former(record)

    def records(self) -> tuple[dict[str, Any], ...]:
        """All records, of whatever twin."""
        found = []
        for path in sorted(self.state.glob("*.json")):
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                found.append(current(json.loads(path.read_text())))
        return tuple(found)

    def record_named(self, name: str, twin: int) -> dict[str, Any]:
        """A twin's record of the deployment of this name; empty when there is none. Another twin's is none of its."""
        return next((one for one in self.records() if (one["name"], one["twin"]) == (name, twin)), {})

    def _record(self, record: dict[str, Any]) -> Path:
        return self.state / f"{record['name']}@{record['twin']}.json"

    def _drop_former(self, record: dict[str, Any]) -> None:
        """Earlier releases named the file by the deployment alone."""
        former = self.state / f"{record['name']}.json"
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            if current(json.loads(former.read_text()))["twin"] == record["twin"]:
                former.unlink()

    def record_of(self, contract: int) -> dict[str, Any] | None:
        """The record that a contract belongs to."""
        return next((one for one in self.records() if contract in one["contracts"].values()), None)

    def forget(self, record: dict[str, Any]) -> None:
        """Remove the record of a deployment that has ended."""
        self._record(record).unlink(missing_ok=True)
        self._drop_former(record)


def current(record: dict[str, Any]) -> dict[str, Any]:
    """A record as this version writes it. Pure. Those of the first had no version and other names; 2 named no twin."""
    if "version" not in record:
        record = {**record, "networks": record["meshes"], "version": 2}
        del record["meshes"]
        for plan in record["networks"].values():
            plan["user"] = plan.pop("way_in")
    if record["version"] < RECORD_VERSION:
        twin = next((int(one["twin_id"]) for one in record["deployments"].values()), 0)
        record = {**record, "twin": twin, "version": RECORD_VERSION}
    return record
