"""A user for tests: the simulation's documents, signed by one user, and contracts on a fake chain."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from zos.chain.api import Block, ContractState, EventKind, NodeContract, Twin
from zos.chain.api.types import ContractEvent
from zos.provisiond.tests.host import FakeHost
from zos.sim import workloads as w
from zos.sim.workloads import WG, hash_of, network, volume, workload, zmachine, zmount
from zos.substrate import KeyKind, LocalKey

__all__ = ["WG", "hash_of", "network", "volume", "workload", "zmachine", "zmount"]

GiB = 1024**3
MiB = 1024**2
KEY = LocalKey.of_text("//Alice", KeyKind.SR25519)
TWIN = 26


def document(contract: int, *workloads: Mapping[str, Any], version: int = 0, **extra: Any) -> dict[str, Any]:
    """A deployment of TWIN, which alone has to sign it."""
    return w.document(TWIN, contract, workloads, version, required=False, **extra)


def signed(body: Mapping[str, Any], key: LocalKey = KEY, twin: int = TWIN) -> bytes:
    """By the user, if nobody else is named."""
    return w.signed(body, key, twin)


def contract(host: FakeHost, id: int, body: Mapping[str, Any], **changes: Any) -> NodeContract:
    """Put a contract for a document on the chain."""
    made = NodeContract(
        id=id,
        twin=TWIN,
        node=host.chain.node,
        state=ContractState.CREATED,
        grace_block=0,
        deployment_hash=hash_of(body),
        deployment_data=b"",
        public_ips=(),
        at=host.chain.block,
    )
    made = dataclasses.replace(made, **changes)
    host.chain.contracts[id] = made
    host.chain.counter = max(host.chain.counter, id)
    host.chain.twins[TWIN] = Twin(TWIN, KEY.public)
    return made


def cancel(host: FakeHost, id: int) -> None:
    """The contract is over, and the node is told."""
    host.chain.contracts.pop(id)
    host.chain.block = Block(host.chain.block.number + 1, "0x" + "0b" * 32)
    host.chain.emit(ContractEvent(EventKind.CANCELED, id, host.chain.block))


def happened(host: FakeHost, kind: EventKind, id: int) -> None:
    host.chain.emit(ContractEvent(kind, id, host.chain.block))
