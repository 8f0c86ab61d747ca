"""Waits until nodes have made what was signed, and shows what is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zos.cli.client.deploy import Deployed
from zos.cli.context import Context
from zos.cli.out import Step
from zos.errors import Status, ZosError
from zos.model.deployment import Deployment
from zos.provisiond.api.types import Progress

GRACE = 6.0
"""Seconds after which a refusal that stays is final: the node may still be looking at the document before."""


class WorkloadFailed(ZosError):
    """A workload ended in error."""

    reason = "cli.workload_failed"
    status = Status.FAILED_PRECONDITION
    text = "{workload} of contract {contract} failed: {problem}"
    hint = "zos why {contract} {workload}; once it is mended, deploy again"


class ChangeRefused(ZosError):
    """A workload goes on as it was."""

    reason = "cli.change_refused"
    status = Status.FAILED_PRECONDITION
    text = "{workload} of contract {contract} stays as it was: {problem}"
    hint = "zos why {contract} {workload}"


class DocumentRefused(ZosError):
    """The node does not take the document."""

    reason = "cli.document_refused"
    status = Status.FAILED_PRECONDITION
    text = "node {node} refuses the deployment of contract {contract}: {problem}"
    hint = "change the file and deploy again, or give the contract up: zos cancel {contract}"


class StillWaiting(ZosError):
    """The deadline has passed; the nodes continue."""

    reason = "cli.still_waiting"
    status = Status.DEADLINE_EXCEEDED
    text = "not everything is ok after {deadline} s; still waiting for {what}"
    hint = "the nodes continue by themselves: zos status {contract}, zos why {contract}"


@dataclass
class Board:
    """What is known of all that is waited for."""

    states: dict[tuple[int, str], Progress] = field(default_factory=dict)
    """By contract and workload; the workload is empty for what the contract as a whole waits for."""

    def words(self) -> str:
        """What is not there yet, and why."""
        named = [one for (_, name), one in self.states.items() if name]
        ready = sum(one.state == "ok" for one in named)
        waits = [_words(one) for one in self.states.values() if one.state != "ok"]
        return "; ".join([f"{ready} of {len(named)} are ok", *waits] if named else waits)


def _words(one: Progress) -> str:
    what = f"{one.workload} {one.state}" if one.workload else f"contract {one.contract}"
    return f"{what} ({one.message})" if one.message else what


async def wait(ctx: Context, deployed: Deployed, step: Step, deadline: float = 180.0) -> None:
    """Wait until every node has the signed version and every workload of it is ok; raises the first refusal."""
    board = Board()
    tasks = [
        asyncio.create_task(_one(ctx, node, contract, deployed.deployments[node], board, step))
        for node, contract in deployed.contracts.items()
    ]
    try:
        async with asyncio.timeout(deadline):
            await asyncio.gather(*tasks)
    except TimeoutError:
        first = next(iter(deployed.contracts.values()))
        what = board.words() or "the nodes, which have not seen the contracts"
        raise StillWaiting(deadline=round(deadline), what=what, contract=first) from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _one(ctx: Context, node: int, contract: int, signed: Deployment, board: Board, step: Step) -> None:
    there = await ctx.node(node)
    watch = Watch(node, contract, signed)
    async for progress in there.watch(contract):
        if not progress.workload and progress.state == "deleted":
            raise WorkloadFailed(workload="the deployment", contract=contract, problem=progress.message)
        board.states[contract, progress.workload] = progress
        watch.see(progress, asyncio.get_running_loop().time())
        if progress.workload:
            board.states.pop((contract, ""), None)
            if is_made(signed, await there.get(contract)):
                return
        step.at(board.words())


@dataclass
class Watch:
    """What of a node's progress is final for one signed document. Pure."""

    node: int
    contract: int
    signed: Deployment
    refused_since: float = 0.0

    def see(self, progress: Progress, now: float) -> None:
        """Take in one message; raises when it says that the document will not be made as it was signed."""
        if not progress.workload:
            self._see_document(progress, now)
        elif progress.version >= self.signed.version:
            # What is about an earlier version is what this one is to change.
            facts = {"workload": progress.workload, "contract": self.contract, "problem": progress.message}
            if progress.state == "error":
                raise WorkloadFailed(**facts)
            if progress.state == "unchanged":
                raise ChangeRefused(**facts)

    def _see_document(self, progress: Progress, now: float) -> None:
        if progress.state != "error":
            self.refused_since = 0.0
        elif progress.version >= self.signed.version or (self.refused_since and now - self.refused_since >= GRACE):
            raise DocumentRefused(node=self.node, contract=self.contract, problem=progress.message)
        elif progress.version < 0:
            self.refused_since = self.refused_since or now


def is_made(signed: Deployment, found: Mapping[str, Any]) -> bool:
    """Whether a node has what was signed, and all of it is ok; raises ChangeRefused for what stayed as it was."""
    if found["version"] < signed.version:
        return False
    there = {one["name"]: one for one in found["workloads"]}
    for workload in signed.workloads:
        one = there.get(workload.name)
        if one is None or one["result"]["state"] != "ok":
            return False
        if one["version"] < workload.version:
            facts = {"workload": workload.name, "contract": found["contract_id"], "problem": one["result"]["message"]}
            raise ChangeRefused(**facts)
    return True
