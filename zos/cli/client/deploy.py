"""Brings a user's file to running workloads: compose, sign, publish, make contracts, wait."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from zos.bus.client import Bus
from zos.cli.client import compose
from zos.cli.client.network import Candidate, NetworkPlan, reachable
from zos.cli.client.spec import Spec
from zos.cli.client.vault import VaultStore, store
from zos.cli.context import Context
from zos.cli.out import Step
from zos.errors import Status, ZosError
from zos.fetch.aio import fetch_configured
from zos.fetch.exchange import Request
from zos.model.challenge import deployment_hash
from zos.model.deployment import Deployment, Signature, decode, encode
from zos.networkd.api import NetworkdClient
from zos.provisiond.api import ProvisiondClient
from zos.rmb.account import chain_twins
from zos.rmb.cipher import seal_document
from zos.rmb.vault import SESSION
from zos.substrate import LocalKey

CONTRACTS = "SmartContractModule"


class NoHub(ZosError):
    """No hub was named for the signed deployment."""

    reason = "cli.no_hub"
    status = Status.FAILED_PRECONDITION
    text = "no hub was named from which nodes can fetch your signed deployment"
    hint = "serve it yourself with --vault, or set ZOS_HUB to the URL of a hub that accepts deployments"


class HubRefused(ZosError):
    """The hub does not accept the deployment."""

    reason = "cli.hub_refused"
    status = Status.UNAVAILABLE
    text = "the hub at {url} did not accept the deployment: {problem}"


class WorkloadFailed(ZosError):
    """A workload ended in error."""

    reason = "cli.workload_failed"
    status = Status.FAILED_PRECONDITION
    text = "{workload} of contract {contract} failed: {problem}"
    hint = "zos why {contract}"


class StillWaiting(ZosError):
    """The deadline has passed; the nodes continue."""

    reason = "cli.still_waiting"
    status = Status.DEADLINE_EXCEEDED
    text = "not everything is ok after {deadline} s; still waiting for {what}"
    hint = "the nodes continue by themselves: zos status {contract}, zos why {contract}"


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a file was deployed as."""

    name: str
    contracts: Mapping[int, int]
    """Contract by node."""
    addresses: Mapping[str, str]
    """Private address by machine."""
    networks: tuple[NetworkPlan, ...]
    blocks: Mapping[int, float] = field(default_factory=dict)
    """When each contract was in a block (Unix seconds)."""


async def deploy(ctx: Context, spec: Spec, vault: VaultStore | None = None) -> Deployed:
    """Create or update what the spec describes; returns when every contract is on the chain.

    Nodes fetch the signed deployments from the user's vault if one is given, else from the hub.
    """
    chain, key, twin = ctx.chain(), ctx.key(), await ctx.twin()
    if vault is None and not ctx.hub_url:
        raise NoHub()
    old = ctx.records().get(spec.name, {})
    contracts = await _alive(ctx, {int(node): id for node, id in old.get("contracts", {}).items()})
    nodes = {int(one["id"]): one for one in await chain.entries("TfgridModule", "Nodes")}
    spec = compose.assign(spec, sorted(nodes))
    networks = {name: msgspec.convert(plan, NetworkPlan) for name, plan in old.get("networks", {}).items()}
    documents = {int(node): document for node, document in old.get("deployments", {}).items()}
    earlier = {node: decode(document) for node, document in documents.items() if node in contracts}
    wanted = {node for network in spec.networks for node in compose.members(spec, network)}
    candidates = {node: await _candidate(ctx, node, nodes[node]) for node in wanted if node in nodes}
    composed = compose.compose(
        spec, twin, candidates, pick=random.choice, old=networks, earlier=earlier, addresses=old.get("addresses")
    )
    signed = {node: sign(deployment, key) for node, deployment in composed.deployments.items()}
    blocks: dict[int, float] = {}
    for node, deployment in signed.items():
        if node in contracts and not compose.is_changed(deployment, earlier.get(node)):
            continue
        if vault is not None:
            document = vault.put(int(nodes[node]["twin_id"]), deployment)
            pull = {"rmb": SESSION, "sha256": hashlib.sha256(document).hexdigest()}
        else:
            pull = await _publish(ctx.hub_url, await _sealed(ctx, node, int(nodes[node]["twin_id"]), deployment))
        data = compose.contract_data(spec.name, pull)
        contracts[node] = await _contract(ctx, key, node, contracts.get(node), deployment, data)
        blocks[contracts[node]] = time.time()
        _remember(ctx, spec.name, contracts, composed, signed)
        if node in earlier:
            store(ctx).drop(earlier[node])
    return Deployed(spec.name, contracts, composed.addresses, composed.networks, blocks)


async def _alive(ctx: Context, contracts: Mapping[int, int]) -> dict[int, int]:
    """The contracts that the chain still has. One that was cancelled, or is of another chain, is made anew."""
    entries = {node: await ctx.chain().query(CONTRACTS, "Contracts", id) for node, id in contracts.items()}
    twin = await ctx.twin()
    return {node: contracts[node] for node, one in entries.items() if one and _is_ours(one, twin)}


def _is_ours(contract: Mapping[str, Any], twin: int) -> bool:
    return bool(contract["twin_id"] == twin and "Deleted" not in contract["state"])


def sign(deployment: Deployment, key: LocalKey) -> Deployment:
    """The deployment with the user's signature."""
    signature = key.signed(deployment_hash(deployment)).hex()
    return deployment.signed_by(Signature(deployment.twin_id, signature, key.kind))


async def _candidate(ctx: Context, node: int, entry: Mapping[str, Any]) -> Candidate:
    config = entry["public_config"]
    addresses = [config["ip4"]["ip"].decode()] if config else []
    addresses += [ip.decode() for card in entry["interfaces"] for ip in card["ips"]]
    used: frozenset[int] = frozenset()
    with contextlib.suppress(ZosError):
        used = frozenset(await NetworkdClient(await ctx.node(node)).wg_ports())
    return Candidate(node, reachable(addresses), used)


async def _sealed(ctx: Context, node: int, twin: int, deployment: Deployment) -> bytes:
    """The signed deployment for one node's eyes: everybody finds a hub's documents by what the chain says."""
    document, found = json.dumps(encode(deployment)).encode(), await chain_twins(ctx.chain())(twin)
    if found is None or not found.pk:
        ctx.out.note(f"node {node} has no encryption key on the chain: whoever reads the hub can read its deployment")
        return document
    return seal_document(found.pk, document).encode()


async def _publish(hub: str, document: bytes) -> dict[str, str]:
    """Put a signed deployment on the hub; returns the `pull` value of the contract's data."""
    digest = hashlib.sha256(document).hexdigest()
    url = f"{hub}/deployments/{digest}"
    try:
        answer = await fetch_configured(Request(url, limit=64 * 1024, method="PUT", body=document), 20.0)
    except ZosError as err:
        raise HubRefused(url=hub, problem=err.facts.get("problem", err)) from None
    if answer.status >= 300:
        raise HubRefused(url=hub, problem=answer.body.decode(errors="replace")[:200] or answer.status)
    return {"url": url, "sha256": digest}


async def _contract(ctx: Context, key: LocalKey, node: int, id: int | None, deployment: Deployment, data: str) -> int:
    carried = {"deployment_hash": deployment_hash(deployment).hex(), "deployment_data": data}
    if id is not None:
        await ctx.chain().submit(CONTRACTS, "update_node_contract", {"contract_id": id, **carried}, key)
        return id
    arguments = {"node_id": node, **carried, "public_ips": 0, "solution_provider_id": None}
    done = await ctx.chain().submit(CONTRACTS, "create_node_contract", arguments, key)
    event = done.event(CONTRACTS, "ContractCreated")
    assert event is not None
    return int(event.fields["contract_id"])


def _remember(
    ctx: Context, name: str, contracts: Mapping[int, int], composed: compose.Composed, signed: Mapping[int, Deployment]
) -> None:
    ctx.remember(
        name,
        {
            "name": name,
            "contracts": dict(contracts),
            "addresses": dict(composed.addresses),
            "networks": {plan.name: dataclasses.asdict(plan) for plan in composed.networks},
            "deployments": {node: encode(one) for node, one in signed.items() if node in contracts},
        },
    )


async def wait(ctx: Context, contracts: Mapping[int, int], step: Step, deadline: float = 180.0) -> None:
    """Wait until every workload of the contracts is ok; raises WorkloadFailed for the first that ends in error."""
    states: dict[str, str] = {}

    async def one(node: int, contract: int) -> None:
        bus = await ctx.node(node)
        await _one_contract(bus, contract, states, step)

    tasks = [asyncio.create_task(one(node, contract)) for node, contract in contracts.items()]
    try:
        async with asyncio.timeout(deadline):
            await asyncio.gather(*tasks)
    except TimeoutError:
        what = ", ".join(f"{name} ({state})" for name, state in states.items() if state != "ok") or "the nodes"
        first = next(iter(contracts.values()))
        raise StillWaiting(deadline=round(deadline), what=what, contract=first) from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _one_contract(bus: Bus, contract: int, states: dict[str, str], step: Step) -> None:
    provisiond = ProvisiondClient(bus)
    async for progress in provisiond.watch(contract):
        if not progress.workload:
            continue
        states[progress.workload] = progress.state
        step.at(", ".join(f"{name} {state}" for name, state in states.items()))
        if progress.state == "error":
            raise WorkloadFailed(workload=progress.workload, contract=contract, problem=progress.message)
        found = (await provisiond.get(contract))["workloads"]
        if all(workload["result"]["state"] == "ok" for workload in found):
            return
