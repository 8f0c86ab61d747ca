"""Tells why something is as it is: one sentence, and the chain of causes from the block to the console's last lines."""

from __future__ import annotations

from zos.errors import ZosError
from zos.model.deployment import ResultState
from zos.model.names import workload_id
from zos.provisiond.api.errors import NoSuchDeployment, NoSuchWorkload
from zos.provisiond.api.types import Link, Why
from zos.provisiond.keeper import Keeper
from zos.provisiond.model import Item, Record
from zos.vmd.api import VmdClient
from zos.vmd.api.types import MachineId, MachineInfo, MachineState

LINES = 5
MACHINES = ("zmachine", "zmachine-light")


async def why(keeper: Keeper, vmd: VmdClient, contract: int, workload: str) -> Why:
    """The story of a deployment, or of one of its workloads."""
    try:
        record = keeper.book.record(contract)
    except NoSuchDeployment:
        trouble = keeper.trouble(contract)
        if not trouble:
            raise
        return Why(f"contract {contract} has no deployment here yet: {trouble}", ())
    if not workload:
        return Why(sentence(record, keeper.trouble(contract)), record.story)
    item = record.item(workload)
    if item is None:
        raise NoSuchWorkload(contract=contract, workload=workload)
    links = [link for link in record.story if link.workload in ("", workload)]
    if item.type not in MACHINES:
        return Why(of_item(item), tuple(links))
    id = MachineId(workload_id(record.twin, contract, workload))
    machine: MachineInfo | None = None
    try:
        machine = await vmd.machine(id)
        links.append(Link("machine", machine_words(machine), machine.since))
        console = (await vmd.read_console(id)).decode(errors="replace").splitlines()
        links += [Link("console", line.rstrip(), 0.0) for line in console[-LINES:]]
    except ZosError as err:
        links.append(Link("machine", err.explain(), 0.0))
    return Why(of_item(item, machine), tuple(links))


def sentence(record: Record, trouble: str) -> str:
    """A deployment in one sentence."""
    head = f"contract {record.contract}"
    if record.ending is not None:
        return f"{head} is being removed: {record.ending.detail}"
    if record.refused:
        return f"{head} was refused: {record.refused}"
    if record.incoming is not None:
        return f"{head} waits to be compared with the chain{f': {trouble}' if trouble else ''}"
    wrong = [item for item in record.items if item.state is ResultState.ERROR]
    if wrong:
        return f"{head}: {of_item(wrong[0])}"
    waiting = [item for item in record.items if item.state is ResultState.INIT]
    if waiting:
        return f"{head}: {of_item(waiting[0])}"
    if record.paused:
        return f"{head} is paused: it is not paid"
    return f"{head} is as it was signed: {len(record.items)} workloads are ok"


def of_item(item: Item, machine: MachineInfo | None = None) -> str:
    """A workload in one sentence."""
    if item.state is ResultState.ERROR:
        return f"{item.name} failed: {item.message}"
    if item.state is ResultState.INIT:
        return f"{item.name} is not made yet{f': {item.message}' if item.message else ''}"
    if machine is not None and machine.state is not MachineState.RUNNING:
        return f"{item.name} is wished for and {machine_words(machine)}"
    return f"{item.name} is {item.state}"


def machine_words(machine: MachineInfo) -> str:
    """A machine in a few words."""
    words = f"{machine.state}"
    if machine.restarts:
        words += f", started again {machine.restarts} times"
    return f"{words}: {machine.detail}" if machine.detail else words
