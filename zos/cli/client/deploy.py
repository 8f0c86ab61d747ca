"""Brings a user's file to running workloads: compose, sign, publish, make contracts, wait."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from zos.cli.client import compose
from zos.cli.client.network import Candidate, NetworkPlan, reachable
from zos.cli.client.spec import Spec
from zos.cli.client.vault import VaultStore, store
from zos.cli.context import Context
from zos.errors import Status, ZosError
from zos.fetch.aio import fetch_configured
from zos.fetch.exchange import Request
from zos.model.challenge import deployment_hash
from zos.model.deployment import Deployment, Signature, decode, encode
from zos.primitives import find
from zos.provisiond import admission
from zos.provisiond.specs import Specs
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


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a file was deployed as."""

    name: str
    contracts: Mapping[int, int]
    """Contract by node."""
    addresses: Mapping[str, str]
    """Private address by machine."""
    networks: tuple[NetworkPlan, ...]
    deployments: Mapping[int, Deployment]
    """By node: what its contract carries."""


async def deploy(ctx: Context, spec: Spec, vault: VaultStore | None = None) -> Deployed:
    """Create or update what the spec describes; returns when every contract is on the chain.

    Nodes fetch the signed deployments from the user's vault if one is given, else from the hub.
    """
    chain, key, twin = ctx.chain(), ctx.key(), await ctx.twin()
    if vault is None and not ctx.hub_url:
        raise NoHub()
    record = await _settled(ctx, ctx.record_named(spec.name, twin))
    contracts = await _alive(ctx, {int(node): id for node, id in record.get("contracts", {}).items()})
    nodes = {int(one["id"]): one for one in await chain.entries("TfgridModule", "Nodes")}
    documents = {int(node): document for node, document in record.get("deployments", {}).items()}
    earlier = {node: decode(document) for node, document in documents.items() if node in contracts}
    homes = {one.name: node for node, deployment in earlier.items() for one in deployment.workloads}
    hdd = {node for node, entry in nodes.items() if entry["resources"]["hru"]}
    spec = compose.assign(spec, sorted(nodes), homes, hdd)
    networks = {name: msgspec.convert(plan, NetworkPlan) for name, plan in record.get("networks", {}).items()}
    wanted = {node for network in spec.networks for node in compose.members(spec, network)}
    candidates = {node: await _candidate(ctx, node, nodes[node]) for node in wanted if node in nodes}
    composed = compose.compose(
        spec,
        twin,
        candidates,
        pick=random.choice,
        old=networks,
        earlier=earlier,
        addresses=record.get("addresses"),
        failed={node: await _failed(ctx, node, contract) for node, contract in contracts.items()},
    )
    signed = {node: sign(deployment, key) for node, deployment in composed.deployments.items()}
    changed = [node for node in signed if node not in contracts or compose.is_changed(signed[node], earlier.get(node))]
    for node in changed:
        # What the node would refuse is refused before its contract is paid.
        door = Specs(find(), int(nodes[node]["resources"]["cru"]))
        admission.read(json.dumps(encode(signed[node])).encode(), door)
    carried = {node: earlier[node] for node in contracts if node in earlier}
    for node in changed:
        deployment = signed[node]
        if vault is not None:
            document = vault.put(int(nodes[node]["twin_id"]), deployment)
            pull = {"rmb": SESSION, "sha256": hashlib.sha256(document).hexdigest()}
        else:
            pull = await _publish(ctx.hub_url, await _sealed(ctx, node, int(nodes[node]["twin_id"]), deployment))
        data = compose.contract_data(spec.name, pull)
        # Written before the chain hears of it: whoever is cut off behind that line finds the contract by its hash.
        _remember(ctx, spec.name, twin, contracts, composed, carried, {node: deployment})
        contracts[node] = await _contract(ctx, key, node, contracts.get(node), deployment, data)
        carried[node] = deployment
        _remember(ctx, spec.name, twin, contracts, composed, carried)
        if node in earlier:
            store(ctx).drop(earlier[node])
    return Deployed(spec.name, contracts, composed.addresses, composed.networks, carried)


async def _settled(ctx: Context, record: dict[str, Any]) -> dict[str, Any]:
    """The record, with what an earlier run submitted and did not live to write down."""
    for node, document in record.get("pending", {}).items():
        signed = decode(document)
        carried = deployment_hash(signed).hex()
        id = record["contracts"].get(node) or await ctx.chain().query(
            CONTRACTS, "ContractIDByNodeIDAndHash", int(node), carried.encode()
        )
        contract = await ctx.chain().query(CONTRACTS, "Contracts", int(id)) if id else None
        if contract is not None and _is_ours(contract, signed.twin_id) and _hash(contract) == carried:
            record["contracts"][node], record["deployments"][node] = int(id), document
            ctx.out.note(f"contract {id} on node {node} was made by an earlier run that was cut off; it is used")
    return record


def _hash(contract: Mapping[str, Any]) -> str:
    kind = contract["contract_type"]
    node = kind.get("NodeContract", {}) if isinstance(kind, dict) else {}
    found = node.get("deployment_hash", b"")
    return found.decode() if isinstance(found, bytes) else str(found)


async def _failed(ctx: Context, node: int, contract: int) -> frozenset[str]:
    """The workloads that could not be made, as far as the node can be asked: they are tried again."""
    try:
        found = await (await ctx.node(node)).get(contract)
    except ZosError:
        return frozenset()
    return frozenset(one["name"] for one in found["workloads"] if one["result"]["state"] == "error")


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
        used = frozenset(await (await ctx.node(node)).wg_ports())
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
    ctx: Context,
    name: str,
    twin: int,
    contracts: Mapping[int, int],
    composed: compose.Composed,
    carried: Mapping[int, Deployment],
    pending: Mapping[int, Deployment] | None = None,
) -> None:
    ctx.remember(
        {
            "name": name,
            "twin": twin,
            "contracts": {str(node): id for node, id in contracts.items()},
            "addresses": dict(composed.addresses),
            "networks": {plan.name: dataclasses.asdict(plan) for plan in composed.networks},
            "deployments": {str(node): encode(one) for node, one in carried.items() if node in contracts},
            "pending": {str(node): encode(one) for node, one in (pending or {}).items()},
        },
    )
