"""A 0-db namespace in a lab: reached from another node over both overlays, kept through kills, frozen while unpaid."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from labs import LAYOUT, box_of, contracts, eventually, kill, states, unit_pid, zos

from zos.lab.manager import Lab
from zos.runtime import cgroup, linux
from zos.substrate import Chain, LocalKey

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

SPEC = """
name: store
zdb:
  db1: {node: 1, size: 55GiB, password: secret}
"""
CLIENT = """
import socket, sys
address, port, *commands = sys.argv[1:]
with socket.create_connection((address, int(port)), timeout=8) as connection:
    answers = connection.makefile("rb")
    for command in commands:
        words = command.split()
        connection.sendall(b"*%d\\r\\n" % len(words))
        for word in words:
            connection.sendall(b"$%d\\r\\n%b\\r\\n" % (len(word), word.encode()))
        line = answers.readline().decode().strip()
        if line[0] == "$" and line != "$-1":
            line = answers.read(int(line[1:]) + 2).decode().strip()
        print(line)
"""


class Store:
    """The namespace that a contract's result names, as another node's box reaches it."""

    def __init__(self, result: dict[str, Any], box: str) -> None:
        self.addresses, self._port = result["IPs"], str(result["Port"])
        self._select = f"SELECT {result['Namespace']} secret"
        self._box = box

    async def ask(self, *commands: str, address: int = 1) -> list[str]:
        """The answers to these commands, at one of the addresses."""
        argv = [sys.executable, "-c", CLIENT, self.addresses[address], self._port, self._select, *commands]
        return (await Lab(LAYOUT).run(self._box, argv)).splitlines()[1:]

    async def becomes(self, answer: str, seconds: float = 60.0) -> None:
        """Wait until both addresses answer GET so."""

        async def is_so() -> bool:
            return [(await self.ask("GET key", address=one))[0] for one in (0, 1)] == [answer] * 2

        await eventually(is_so, seconds)


async def disk_process(box: str) -> int:
    """The process that serves the node's hard disk, as the node counts."""
    return int((await Lab(LAYOUT).run(box, ["pgrep", "-f", "zos.zdbd.disk"])).split()[0])


async def move_money(spend: bool, key: LocalKey, friend: LocalKey) -> None:
    """The user's money goes to a friend, or comes back."""
    async with Chain([Lab(LAYOUT).addresses.chain_url]) as chain:
        if spend:
            dest = {"Id": friend.public}
            await chain.submit("Balances", "transfer_all", {"dest": dest, "keep_alive": True}, key)
        else:
            await chain.submit("Balances", "transfer", {"dest": {"Id": key.public}, "value": 10**9}, friend)


async def bill(contract: int, key: LocalKey) -> None:
    """Anybody may have a contract billed."""
    async with Chain([Lab(LAYOUT).addresses.chain_url]) as chain:
        await chain.submit("SmartContractModule", "bill_contract_for_block", {"contract_id": contract}, key)


async def test_a_namespace_from_its_contract_to_its_tombstone(lab: None, state: Path, tmp_path: Path) -> None:
    (tmp_path / "store.yaml").write_text(SPEC)
    zos("deploy", str(tmp_path / "store.yaml"), state=state)
    (contract,) = contracts("store", state)
    (workload,) = zos("status", str(contract), state=state)["deployment"]["workloads"]
    box = box_of(1, state)
    store = Store(workload["result"]["data"], box_of(2, state))
    assert len(set(store.addresses)) == 2

    async def is_stored() -> bool:
        return await store.ask("SET key value") in (["key"], ["$-1"])

    await eventually(is_stored, 60)
    await store.becomes("value")

    # Whatever its tenants send, a disk's process takes no more than its share.
    groups = await Lab(LAYOUT).run(box, ["cat", f"/proc/{await disk_process(box)}/cgroup"])
    if not cgroup.find(linux.mounts()).missing:
        assert f"/{cgroup.PARENT}/" in groups
        assert "-zdbd-" in groups

    # Neither the process of the disk, nor its daemon, nor the node's power takes what was acknowledged.
    await kill(box, await disk_process(box))
    await store.becomes("value")
    assert await store.ask("SET key newer") == ["key"]
    await kill(box, await unit_pid(box, "zdbd"))
    await store.becomes("newer")
    assert await store.ask("SET key newest") == ["key"]
    zos("lab", "off", box, state=state)
    zos("lab", "on", box, state=state)
    zos("lab", "up", state=state)
    await store.becomes("newest")

    key, friend = (LocalKey.of_text(path.read_text().strip()) for path in (LAYOUT.user_key, LAYOUT.proxy_key))
    for spend, wanted, answer in (
        (True, "paused", "-Namespace is temporarily frozen (read-write disabled)"),
        (False, "ok", "newest"),
    ):
        await move_money(spend, key, friend)

        async def is_told(wanted: str = wanted) -> bool:
            # A bill of less than a unit of money changes nothing: the next one is for a longer time.
            await bill(contract, friend)
            return await states(box, contract) == {"db1": wanted}

        await eventually(is_told, 120)
        await store.becomes(answer)

    zos("cancel", str(contract), state=state)

    async def is_kept() -> bool:
        kept = zos("tombstones", "1", state=state)
        return ("volume", contract) in [(one["kind"], one["evidence"]["contract"]) for one in kept]

    await eventually(is_kept, 60)
    with pytest.raises(Exception, match="refused"):
        await store.ask("PING")
