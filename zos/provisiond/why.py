"""Explains a deployment: one sentence, and what led there, from the block on the chain to the console's last lines."""

from __future__ import annotations

from zos.errors import ZosError
from zos.flistd.api import FlistdClient
from zos.model.deployment import ResultState
from zos.model.names import workload_id
from zos.provisiond.api.errors import NoSuchDeployment, NoSuchWorkload, PutAside
from zos.provisiond.api.types import HistoryEntry, Why
from zos.provisiond.manager import DeploymentManager
from zos.provisiond.model import Item, Phase, Record
from zos.verbs.step import Clients
from zos.vmd.api import VmdClient
from zos.vmd.api.types import MachineId, MachineInfo, MachineState

LINES = 5


async def why(manager: DeploymentManager, clients: Clients, contract: int, workload: str) -> Why:
    """The history of a deployment, or of one of its workloads."""
    problem = manager.problem(contract)
    aside = ""
    try:
        manager.strikes.require(contract)
    except PutAside as err:
        aside = f"{err.explain()} ({err.advice()})"
    try:
        record = manager.store.record(contract)
    except NoSuchDeployment:
        if aside:
            return Why(aside, ())
        if not problem:
            raise
        return Why(f"contract {contract} has no deployment here yet: {problem}", ())
    if aside:
        return Why(aside, record.history)
    if not workload:
        (idle, said), difference = await _machines(manager, clients, record), await manager.difference(record)
        return Why(sentence(record, problem, idle, difference, said), record.history)
    item = record.item(workload) or record.leaving(workload)
    if item is None:
        raise NoSuchWorkload(contract=contract, workload=workload)
    history = tuple(entry for entry in record.history if entry.workload in ("", workload))
    one = manager.specs.types.get(item.type)
    if one is None or not one.is_machine:
        return Why(of_item(item), history)
    id = workload_id(record.twin, contract, workload)
    machine, seen = await _seen(clients.of(VmdClient), MachineId(id))
    return Why(of_item(item, machine, (await _unread(clients)).get(id, "")), (*history, *seen))


async def _unread(clients: Clients) -> dict[str, str]:
    """What cannot be read of the flists of machines, by the machine's id; nothing where flistd does not answer."""
    try:
        return {str(mount.id): mount.detail for mount in await clients.of(FlistdClient).list_mounts() if mount.detail}
    except ZosError:
        return {}


async def _machines(manager: DeploymentManager, clients: Clients, record: Record) -> tuple[str, str]:
    """The first machine of a deployment that should run and does not, or lacks files, and what is to be said of those
    that run, in words; each is empty when there is none.
    """
    types = manager.specs.types
    names = {
        workload_id(record.twin, record.contract, item.name): item
        for item in record.items
        if item.state is ResultState.OK and item.type in types and types[item.type].is_machine
    }
    if not names or record.phase is not Phase.ACTIVE:
        return "", ""
    try:
        machines = {str(machine.id): machine for machine in await clients.of(VmdClient).list_machines()}
    except ZosError as err:
        return err.explain(), ""
    for id, item in names.items():
        machine = machines.get(id)
        if machine is None:
            return f"{item.name} should run and vmd does not know it", ""
        if machine.state is not MachineState.RUNNING:
            return of_item(item, machine), ""
    unread = await _unread(clients)
    idle = next((of_item(item, machines[id], unread[id]) for id, item in names.items() if id in unread), "")
    said = (f"{item.name}: {machines[id].detail}" for id, item in names.items() if machines[id].detail)
    return idle, next(said, "")


async def _seen(vmd: VmdClient, id: MachineId) -> tuple[MachineInfo | None, list[HistoryEntry]]:
    machine: MachineInfo | None = None
    try:
        machine = await vmd.machine(id)
        seen = [HistoryEntry("machine", machine_words(machine), machine.since)]
        console = (await vmd.read_console(id)).decode(errors="replace").splitlines()
    except ZosError as err:
        return machine, [HistoryEntry("machine", err.explain(), 0.0)]
    return machine, [*seen, *(HistoryEntry("console", line.rstrip(), 0.0) for line in console[-LINES:])]


def sentence(record: Record, problem: str, idle: str = "", difference: str = "", said: str = "") -> str:
    """A deployment in one sentence; `idle` says which machine does not run, `difference` how the chain differs, `said`
    what is to be known of a machine that runs.
    """
    head = f"contract {record.contract}"
    if record.ending is not None:
        return f"{head} is being removed: {record.ending.detail}"
    if record.incoming is not None:
        return f"{head} waits to be compared with the chain{f': {problem}' if problem else ''}"
    if record.phase is Phase.REFUSED:
        return f"{head} was refused: {record.refusal}"
    for state in (ResultState.ERROR, ResultState.INIT):
        item = next((item for item in record.items if item.state is state and not item.leaving), None)
        if item is not None:
            return f"{head}: {of_item(item)}"
    lacking = next((item for item in record.items if item.state is ResultState.OK and item.message), None)
    if lacking is not None:
        return f"{head}: {of_item(lacking)}"
    if record.phase is Phase.PAUSED:
        return f"{head} is paused: it is not paid"
    refusal = f"the update was refused: {record.refusal}" if record.refusal else ""
    if notes := [note for note in (problem, difference, refusal) if note]:
        return f"{head} runs version {record.version}; {'; '.join(notes)}"
    if idle:
        return f"{head}: {idle}"
    unchanged = next((item for item in record.items if item.unchanged), None)
    if unchanged is not None:
        return f"{head}: {of_item(unchanged)}"
    return f"{head} is as it was signed: {len(record.items)} workloads are ok{f'; {said}' if said else ''}"


def of_item(item: Item, machine: MachineInfo | None = None, unread: str = "") -> str:
    """A workload in one sentence; `unread` says what of its flist cannot be read."""
    if item.leaving:
        return f"{item.name} is being removed"
    if item.state is ResultState.ERROR:
        return f"{item.name} failed: {item.message}"
    if item.state is ResultState.INIT:
        return f"{item.name} is not made yet{f': {item.message}' if item.message else ''}"
    if machine is not None and machine.state is not MachineState.RUNNING:
        return f"{item.name} should run and is {machine_words(machine)}"
    if item.state is ResultState.OK and item.message:
        return f"{item.name} was made, and is not as it was signed now: {item.message}"
    if unread:
        return f"{item.name} is {item.state}; of its flist: {unread}"
    if machine is not None and machine.detail:
        return f"{item.name} is {item.state}; {machine.detail}"
    if item.unchanged:
        return f"{item.name} is {item.state}; its change was refused: {item.unchanged}"
    return f"{item.name} is {item.state}"


def machine_words(machine: MachineInfo) -> str:
    """A machine in a few words."""
    words = f"{machine.state}"
    if machine.restarts:
        words += f", started again {machine.restarts} times"
    return f"{words}: {machine.detail}" if machine.detail else words
