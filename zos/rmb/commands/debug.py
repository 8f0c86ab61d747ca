"""`zos.debug.*`: what operators see of any deployment. It only reads; no command is run."""

from __future__ import annotations

from typing import Any

from zos.errors import Status, ZosError
from zos.model.decode import Fields
from zos.model.names import net_id, workload_id
from zos.networkd.api.types import NetworkInfo
from zos.primitives import machine_types
from zos.rmb.router import Access, Call, Command, Node
from zos.vmd.api import NoSuchMachine
from zos.vmd.api.types import MachineId, MachineInfo, MachineState

NETWORKS = ("network", "network-light")
SHORT, LONG = 16 * 1024, 256 * 1024
"""Bytes of the end of a console's output."""


class BadRequest(ZosError):
    """The argument cannot be used."""

    reason = "rmb.bad_request"
    status = Status.INVALID_ARGUMENT
    text = "{problem}"


async def listed(call: Call) -> dict[str, Any]:
    """`{twin_id}`, 0 for all: `{deployments: [{twin_id, contract_id, workloads: [{type, name, state}]}]}`."""
    twin = call.fields().uint("twin_id", 32)
    return {"deployments": [_summary(one) for one in await call.node.provisiond.brief(twin or None, active=True)]}


def _summary(one: dict[str, Any]) -> dict[str, Any]:
    states = [{"type": w["type"], "name": w["name"], "state": w["result"]["state"]} for w in one["workloads"]]
    return {"twin_id": one["twin_id"], "contract_id": one["contract_id"], "workloads": states}


async def get(call: Call) -> dict[str, Any]:
    """Takes `{deployment: "twin:contract"}` and answers `{deployment: …}`."""
    twin, contract = _parse_deployment(call.fields())
    return {"deployment": await call.node.provisiond.get(contract, twin)}


async def history(call: Call) -> dict[str, Any]:
    """`{deployment}`: `{deployment, history: [{seq, type, name, created, state, message}]}`, oldest first."""
    fields = call.fields()
    twin, contract = _parse_deployment(fields)
    log = await call.node.provisiond.changes(contract, twin)
    return {
        "deployment": fields.text("deployment"),
        "history": [
            {
                "seq": number,
                "type": one["type"],
                "name": one["name"],
                **{key: one["result"][key] for key in ("created", "state", "message")},
            }
            for number, one in enumerate(log, 1)
        ],
    }


async def info(call: Call) -> dict[str, Any]:
    """`{deployment, workload, verbose}`: `{workload_id, type, name, info, logs}` of a machine or network."""
    fields = call.fields()
    name = fields.text("workload")
    if not name:
        raise BadRequest(problem="workload name is required")
    twin, contract = _parse_deployment(fields)
    workloads = (await call.node.provisiond.get(contract, twin))["workloads"]
    one = next((one for one in workloads if one["name"] == name), None)
    if one is None:
        raise BadRequest(problem=f"workload '{name}' not found in deployment")
    id = workload_id(twin, contract, name)
    shown = {"workload_id": id, "type": one["type"], "name": name}
    if one["type"] in machine_types():
        return shown | await _machine(call.node, MachineId(id), LONG if fields.flag("verbose") else SHORT)
    if one["type"] in NETWORKS:
        return shown | await _network(call.node, net_id(twin, name), one["result"]["state"])
    raise BadRequest(problem=f"workload type '{one['type']}' not supported for info command")


async def _machine(node: Node, id: MachineId, most: int) -> dict[str, Any]:
    machine = await node.vmd.machine(id)
    logs = (await node.vmd.read_console(id, most)).decode(errors="replace")
    return {"info": _machine_info(machine), "logs": logs}


def _machine_info(machine: MachineInfo) -> dict[str, Any]:
    return {
        "state": machine.state.value,
        "since": int(machine.since),
        "restarts": machine.restarts,
        "detail": machine.detail,
        "pid": machine.pid,
        "acceleration": machine.accel,
    }


async def _network(node: Node, id: str, state: str) -> dict[str, Any]:
    found = await _find_network(node, id)
    namespace = found.namespace if found else ""
    return {
        "info": {"net_id": id, "namespace": namespace, "state": state},
        "logs": "Network workloads don't support logs",
    }


async def _find_network(node: Node, id: str) -> NetworkInfo | None:
    return next((one for one in await node.networkd.list_networks() if one.id == id), None)


async def health(call: Call) -> dict[str, Any]:
    """`{deployment}`: `{twin_id, contract_id, workloads: [{workload_id, type, name, status, checks}]}`.

    Machines and networks are checked. `options.system_probe` of the reference (a command line to be run as root)
    is not offered.
    """
    fields = call.fields()
    if "system_probe" in fields.object("options"):
        raise BadRequest(problem="system_probe is not offered by this node: no command is run for others")
    twin, contract = _parse_deployment(fields)
    deployment = await call.node.provisiond.get(contract, twin)
    checked = [await _check_workload(call.node, twin, contract, one) for one in deployment["workloads"]]
    return {"twin_id": twin, "contract_id": contract, "workloads": [one for one in checked if one is not None]}


async def _check_workload(node: Node, twin: int, contract: int, one: dict[str, Any]) -> dict[str, Any] | None:
    name, id = one["name"], workload_id(twin, contract, one["name"])
    if one["type"] in machine_types():
        checks = await _check_machine(node, MachineId(id))
    elif one["type"] in NETWORKS:
        checks = [_check_network(await _find_network(node, net_id(twin, name)), net_id(twin, name))]
    else:
        return None
    status = "healthy" if all(check["ok"] for check in checks) else "unhealthy"
    return {"workload_id": id, "type": one["type"], "name": name, "status": status, "checks": checks}


async def _check_machine(node: Node, id: MachineId) -> list[dict[str, Any]]:
    try:
        machine = await node.vmd.machine(id)
    except NoSuchMachine:
        return [_check("vm.vmd", False, "vmd has no such machine", {"vm_id": id})]
    is_there = machine.state in (MachineState.RUNNING, MachineState.PAUSED)
    state = f"the machine is {machine.state}" + (f": {machine.detail}" if machine.detail else "")
    return [
        _check("vm.vmd", True, "vmd has the machine", {"vm_id": id}),
        _check("vm.process", is_there, state, {"vm_id": id, "pid": machine.pid}),
    ]


def _check_network(found: NetworkInfo | None, id: str) -> dict[str, Any]:
    if found is None:
        return _check("network.config", False, "networkd has no such network", {"netid": id})
    evidence = {"netid": id, "namespace": found.namespace, "bridge": found.bridge}
    return _check("network.interfaces", not found.detail, found.detail or "the network is as desired", evidence)


def _check(name: str, ok: bool, message: str, evidence: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "ok": ok, "message": message, "evidence": evidence}


def _parse_deployment(fields: Fields) -> tuple[int, int]:
    """Twin and contract of `deployment`."""
    text = fields.text("deployment")
    if not text:
        raise BadRequest(problem="deployment identifier is required")
    parts = text.split(":")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) <= 20 for part in parts):
        raise BadRequest(problem=f"invalid deployment format: expected 'twin-id:contract-id', got '{text}'")
    twin, contract = map(int, parts)
    if twin >= 2**32 or contract >= 2**64:
        raise BadRequest(problem=f"invalid deployment format: expected 'twin-id:contract-id', got '{text}'")
    return twin, contract


COMMANDS = (
    Command("zos.debug.deployment.list", listed, Access.ADMIN),
    Command("zos.debug.deployment.get", get, Access.ADMIN),
    Command("zos.debug.deployment.history", history, Access.ADMIN),
    Command("zos.debug.deployment.info", info, Access.ADMIN),
    Command("zos.debug.deployment.health", health, Access.ADMIN),
)
