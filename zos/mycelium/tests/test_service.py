"""The daemon by its API, without devices or peers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from zos.core0.api.core0_pb2_grpc import add_Core0Servicer_to_server
from zos.core0.service import Core0Service
from zos.model.mycelium import public_key, subnet
from zos.mycelium import tun
from zos.mycelium.api import BadIdentity, Identity, IdentityId, KeyTaken, MyceliumClient, NoMycelium
from zos.mycelium.daemon import Config, Mycelium
from zos.runtime.daemon import Daemon, Runtime
from zos.runtime.ledger import Ledger
from zos.runtime.testing import running

IDENTITY = Identity(IdentityId("B3gDSpMoHJXdF"), bytes(range(32)), "n-none", "my")
OTHER = Identity(IdentityId("Vp6mnP5Nd8BVD"), bytes(range(1, 33)), "n-none", "my")
ALONE = Config(port=0, discovery=(), every=0.05)


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that can, whatever this one can; returns its TUN."""
    (tmp_path / "ipv6").write_text("0\n")
    (tmp_path / "tun").touch()
    monkeypatch.setattr(tun, "IPV6_OFF", tmp_path / "ipv6")
    monkeypatch.setattr(tun, "TUN", tmp_path / "tun")
    return tmp_path / "tun"


@dataclasses.dataclass(frozen=True)
class NoConfig:
    """No table in the configuration file."""


class Core0(Daemon):
    """core-0 as far as mycelium asks it: the key."""

    name = "core0"
    config = NoConfig

    async def open(self, rt: Runtime) -> None:
        rt.serve(Core0Service(SigningKey(bytes(32)), list), add_Core0Servicer_to_server)


@contextlib.asynccontextmanager
async def mycelium(folder: Path, config: Config = ALONE) -> AsyncIterator[MyceliumClient]:
    async with running(Core0, folder), running(Mycelium, folder, config=config) as rt:
        yield MyceliumClient(rt.bus)


async def up(client: MyceliumClient) -> None:
    async with asyncio.timeout(30):
        while not (await client.overlay()).offered:
            await asyncio.sleep(0.01)


async def test_a_node_has_the_same_place_at_each_start(tmp_path: Path):
    places = set()
    for _ in range(2):
        async with mycelium(tmp_path) as client:
            await up(client)
            places.add((await client.overlay()).address)
    assert len(places) == 1


async def test_an_identity_waits_for_its_device_and_says_so(tmp_path: Path):
    async with mycelium(tmp_path) as client:
        await up(client)
        info = await client.ensure_identity(IDENTITY)
        assert info.subnet.endswith("::/64")
        assert info.gateway == info.subnet.replace("::/64", "::1")
        assert not info.attached
        assert "n-none" in info.detail
        assert await client.ensure_identity(IDENTITY) == info == await client.identity(IDENTITY.id)


async def test_identities_are_remembered_and_forgotten_when_dropped(tmp_path: Path):
    async with mycelium(tmp_path) as client:
        await client.ensure_identity(IDENTITY)
    async with mycelium(tmp_path) as client:
        await up(client)
        assert [one.id for one in await client.identities()] == [IDENTITY.id]
        for _ in range(2):
            await client.drop_identity(IDENTITY.id)
        assert await client.identities() == ()
        with pytest.raises(NoMycelium):
            await client.identity(IDENTITY.id)


async def test_one_key_answers_in_one_place_and_may_change(tmp_path: Path):
    async with mycelium(tmp_path) as client:
        await up(client)
        first = await client.ensure_identity(IDENTITY)
        with pytest.raises(KeyTaken):
            await client.ensure_identity(dataclasses.replace(OTHER, key=IDENTITY.key))
        changed = await client.ensure_identity(dataclasses.replace(IDENTITY, key=OTHER.key))
        assert changed.address != first.address
        assert (await client.ensure_identity(dataclasses.replace(OTHER, key=IDENTITY.key))).address == first.address


async def test_earlier_keys_are_answered_for_as_long_as_they_are_asked_for(tmp_path: Path):
    keys = [bytes(range(number, number + 32)) for number in range(3)]
    subnets = [str(subnet(public_key(key))) for key in keys]
    async with mycelium(tmp_path) as client:
        await up(client)
        for number, key in enumerate(keys):
            await client.ensure_identity(dataclasses.replace(IDENTITY, key=key, former=tuple(subnets[:number])))
        assert (await client.identity(IDENTITY.id)).subnet == subnets[2]
        with pytest.raises(KeyTaken):
            await client.ensure_identity(dataclasses.replace(OTHER, key=keys[0]))
    async with mycelium(tmp_path) as client:
        await up(client)
        assert {one.subnet for one in await client.identities()} == set(subnets)
        await client.keep_former(IDENTITY.id, subnets[1:2])
        assert {one.subnet for one in await client.identities()} == {*subnets[1:]}
        # Back to the key before: it is in force again, and the last one is an earlier one.
        back = dataclasses.replace(IDENTITY, key=keys[1], former=(subnets[2],))
        assert (await client.ensure_identity(back)).subnet == subnets[1]
        assert {one.subnet for one in await client.identities()} == {*subnets[1:]}
        await client.ensure_identity(dataclasses.replace(back, former=()))
        assert [one.subnet for one in await client.identities()] == [subnets[1]]
        await client.drop_identity(IDENTITY.id)
        assert await client.identities() == ()


@pytest.mark.parametrize(
    "asked",
    [
        dataclasses.replace(IDENTITY, key=b"short"),
        dataclasses.replace(IDENTITY, id=IdentityId("../x")),
        dataclasses.replace(IDENTITY, namespace="../../etc"),
        dataclasses.replace(IDENTITY, namespace=".."),
        dataclasses.replace(IDENTITY, device="much-too-long-a-name"),
    ],
)
async def test_what_cannot_be_an_identity_is_refused(tmp_path: Path, asked: Identity):
    async with mycelium(tmp_path) as client:
        with pytest.raises(BadIdentity) as caught:
            await client.ensure_identity(asked)
        assert asked.key.hex() not in str(caught.value)


async def test_a_node_that_is_off_keeps_what_networks_say_and_gives_machines_nothing(tmp_path: Path):
    async with mycelium(tmp_path, Config(on=False)) as client:
        assert (await client.ensure_identity(IDENTITY)).attached is False
        overlay = await client.overlay()
        assert (overlay.offered, overlay.address) == (False, "")
        with pytest.raises(NoMycelium, match="turned it off"):
            await client.identity(IDENTITY.id)


async def test_a_node_that_cannot_listen_says_so_and_comes_when_it_can(tmp_path: Path):
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as other:
        port = other.getsockname()[1]
        async with mycelium(tmp_path, dataclasses.replace(ALONE, port=port)) as client:
            await client.ensure_identity(IDENTITY)
            async with asyncio.timeout(10):
                while "cannot listen" not in (await client.overlay()).detail:
                    assert not (await client.overlay()).offered
                    await asyncio.sleep(0.01)
            with pytest.raises(NoMycelium, match="cannot listen"):
                await client.identity(IDENTITY.id)
            other.close()
            await up(client)
            assert (await client.identity(IDENTITY.id)).id == IDENTITY.id


async def test_a_peer_by_quic_keeps_nobody_out_of_the_overlay(tmp_path: Path):
    config = dataclasses.replace(ALONE, peers=("quic://192.0.2.1:9651",))
    async with mycelium(tmp_path, config) as client:
        await up(client)
        (problem,) = (await client.overlay()).left_out
        assert problem.startswith("`quic://192.0.2.1:9651` is no peer: this router speaks TCP, not quic")


async def test_a_node_without_tun_or_ipv6_offers_nothing_and_says_why(tmp_path: Path, machine: Path):
    async with mycelium(tmp_path) as client:
        await up(client)
        machine.unlink()
        assert (await client.overlay()).detail == f"{machine} is missing"
        machine.touch()
        (tmp_path / "ipv6").write_text("1\n")
        overlay = await client.overlay()
        assert (overlay.offered, overlay.detail) == (False, "IPv6 is off")


def test_a_key_is_in_no_text_of_an_identity():
    assert IDENTITY.key.hex() not in repr(IDENTITY)
    assert str(IDENTITY.key) not in repr(IDENTITY)


def test_the_ledger_of_version_1_is_read(tmp_path: Path):
    proof = json.loads((Path(__file__).parent / "ledger/v1.json").read_text())
    (tmp_path / "record.json").write_text(json.dumps(proof["identities"]))
    kept = Ledger(tmp_path, Identity).get(IDENTITY.id)
    assert kept == dataclasses.replace(IDENTITY, namespace="n-B3gDSpMoHJXdF")
