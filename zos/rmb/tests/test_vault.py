"""A twin's vault: who is given what, over a relay and through the node's API."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from zos.bus.client import Bus
from zos.bus.server import Health, listening
from zos.relay.server import Relay, serving
from zos.rmb import envelope as env
from zos.rmb import vault
from zos.rmb.api import NoVault, RmbClient
from zos.rmb.api.rmb_pb2_grpc import add_RmbServicer_to_server
from zos.rmb.errors import Refused
from zos.rmb.peer import Peer
from zos.rmb.privacy import always
from zos.rmb.service import RmbService
from zos.rmb.testing import Chain, Twin, joined
from zos.rmb.tests.overrelay import Nobody
from zos.rmb.twins import TwinCache
from zos.rmb.wire_pb2 import Address
from zos.runtime.clock import SystemClock
from zos.substrate.keys import KeyKind

OWNER, NODE, OTHER = Twin(26), Twin(2, KeyKind.ED25519), Twin(3, KeyKind.ED25519)
HASH = "1fcdb75ce0bccc19c57a0011c5193616"
DOCUMENTS = {(NODE.id, HASH): b'{"version":0}'}


@asynccontextmanager
async def relay(*twins: Twin) -> AsyncIterator[tuple[Chain, str]]:
    chain = Chain()
    chain.add(*twins)
    async with serving(
        Relay(TwinCache(chain.twin, SystemClock()), "relay.lab", SystemClock(), Nobody()), "127.0.0.1", 0
    ) as port:
        yield chain, f"ws://127.0.0.1:{port}"


def answering(told: list[tuple[int, str]]) -> vault.Vault:
    return vault.Vault(lambda twin, hash: DOCUMENTS.get((twin, hash)), lambda *given: told.append(given))


@asynccontextmanager
async def client(peer: Peer, folder: Path, twin: Twin = NODE) -> AsyncIterator[RmbClient]:
    async with Bus(folder) as bus:
        services = [(RmbService(peer, twin.secret), add_RmbServicer_to_server)]
        async with listening(bus.socket("rmb"), services, Health()):
            yield RmbClient(bus)


async def test_a_node_is_given_the_document_that_is_for_it(tmp_path: Path) -> None:
    told: list[tuple[int, str]] = []
    async with (
        relay(OWNER, NODE) as (chain, url),
        joined(OWNER, chain, url, handler=answering(told).handle, session=vault.SESSION),
        joined(NODE, chain, url) as node,
        client(node, tmp_path) as rmb,
    ):
        assert await rmb.fetch_deployment(OWNER.id, vault.SESSION, HASH) == b'{"version":0}'
    assert told == [(NODE.id, HASH)]


async def test_another_node_another_hash_and_another_command_are_given_nothing() -> None:
    told: list[tuple[int, str]] = []
    async with (
        relay(OWNER, NODE, OTHER) as (chain, url),
        joined(OWNER, chain, url, handler=answering(told).handle, session=vault.SESSION),
        joined(NODE, chain, url) as node,
        joined(OTHER, chain, url) as other,
    ):
        for peer, command, hash in (
            (other, vault.COMMAND, HASH),
            (node, vault.COMMAND, "0" * 32),
            (node, vault.COMMAND, "../../etc/passwd"),
            (node, "zos.system.version", HASH),
        ):
            with pytest.raises(Refused) as refused:
                await peer.call(OWNER.id, command, vault.request(hash), session=vault.SESSION, deadline=5)
            assert "vault" in str(refused.value)
    assert told == []


async def test_a_closed_vault_is_told_as_such_and_may_be_asked_again(tmp_path: Path) -> None:
    async with relay(NODE) as (chain, url), joined(NODE, chain, url) as node, client(node, tmp_path) as rmb:
        with pytest.raises(NoVault) as closed:
            await rmb.fetch_deployment(OWNER.id, vault.SESSION, HASH)
    assert closed.value.kind == "not now"
    assert f"twin {OWNER.id} is not on the chain" in closed.value.explain()


async def test_a_vault_answers_nothing_in_clear() -> None:
    """Who has no key is told what to do, and whoever carries the message learns nothing."""
    told: list[tuple[int, str]] = []
    clear = Twin(NODE.id, KeyKind.ED25519, encrypts=False)
    keyless = Twin(OWNER.id, encrypts=False)
    for owner, node_twin, who in ((OWNER, clear, NODE.id), (keyless, NODE, OWNER.id)):
        async with (
            relay(owner, node_twin) as (chain, url),
            joined(owner, chain, url, handler=answering(told).handle, session=vault.SESSION, is_private=always),
            joined(node_twin, chain, url) as node,
        ):
            with pytest.raises(Refused, match=f"twin {who} has no encryption key on the chain") as refused:
                await node.call(owner.id, vault.COMMAND, vault.request(HASH), session=vault.SESSION, deadline=5)
            assert "zos twin create --relay NAME publishes a user's key" in str(refused.value)
            assert "version" not in str(refused.value)
    assert told == []


async def test_a_vault_is_asked_by_its_own_session_only() -> None:
    """The end of a session's name and the beginning of a command may be moved under one signature."""
    told: list[tuple[int, str]] = []
    async with (
        relay(OWNER, NODE) as (chain, url),
        joined(OWNER, chain, url, handler=answering(told).handle) as owner,
        joined(NODE, chain, url) as node,
    ):
        made = env.request(str(uuid.uuid4()), Address(twin=NODE.id), OWNER.id, vault.COMMAND, time.time(), 20)
        made.destination.connection, made.plain = "vault", vault.request(HASH)
        await env.signed(made, NODE.key)
        owner._receive(made.SerializeToString(), owner.connections[0])
        assert (owner.dropped, node.dropped, told) == (1, 0, [])
