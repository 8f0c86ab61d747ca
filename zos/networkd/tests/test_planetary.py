"""The planetary part: what is planned, what is handed out, and what becomes of it when things go wrong."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from zos.core0.api import KeyUse
from zos.core0.api.core0_pb2_grpc import add_Core0Servicer_to_server
from zos.core0.identity import derive
from zos.core0.service import Core0Service
from zos.networkd import planetary, segment
from zos.networkd.api import (
    AddressTaken,
    BadTap,
    KernelRefused,
    NetworkdClient,
    NoPlanetary,
    Place,
    PlanetaryNotUp,
    Tap,
    TapId,
    TapRoute,
)
from zos.networkd.daemon import Config, Networkd
from zos.networkd.fake import FakeHost
from zos.networkd.model import Link, LinkKind
from zos.networkd.place import Segment
from zos.networkd.places.planetary import PLACE
from zos.networkd.planetary import DesiredYggdrasil, ObservedYggdrasil, PlanetaryIdentity
from zos.networkd.segment import ObservedSegment
from zos.networkd.steps import (
    AddAddress,
    CreateBridge,
    CreateTap,
    DialPeer,
    DropLinks,
    GuardTaps,
    SetUp,
    StartYggdrasil,
    Step,
    StopYggdrasil,
)
from zos.runtime.daemon import Daemon, Runtime
from zos.runtime.testing import running

IDENTITY = PlanetaryIdentity(bytes(range(32)))
TAP = Tap(TapId("AA9j9eBFDtpjD"), Place.PLANETARY, "22:5b:7a:01:cd:70")
OTHER = Tap(TapId("AbE3zNtFw21Fr"), Place.PLANETARY, "ee:5b:b5:ff:9b:4b")
PEER = "tcp://192.0.2.9:9943"


# Plans


def with_taps(*taps: Tap) -> Segment:
    return PLACE.segment(IDENTITY, taps)


async def observed(host: FakeHost) -> ObservedSegment:
    return await host.observe_segment(PLACE.bridge)


async def made(desired: Segment, host: FakeHost) -> list[Step]:
    """Make it on a fake; the steps that it took."""
    before = len(host.steps)
    await host.apply(segment.plan(desired, await observed(host)))
    return host.steps[before:]


async def test_what_is_made_is_not_made_again_and_goes_without_a_trace():
    host = FakeHost.walled()
    before = dict(host.root.links)
    desired = with_taps(TAP, OTHER)
    assert await made(desired, host)
    assert await made(desired, host) == []
    assert set(host.root.links) - set(before) == {"br-ygg", "t-AA9j9eBFDtpjD", "t-AbE3zNtFw21Fr"}
    await made(PLACE.nothing(), host)
    assert (host.root.links, host.guarded) == (before, {})
    assert await made(PLACE.nothing(), host) == []


async def test_a_bridge_that_is_not_ours_keeps_its_own_while_taps_and_rules_come_and_go():
    host = FakeHost.walled()
    await host.apply([CreateBridge("zos"), SetUp("", "zos")])
    before = dict(host.root.links)
    desired = dataclasses.replace(with_taps(TAP), bridge="zos", link=None, owns_bridge=False)
    await host.apply(segment.plan(desired, await host.observe_segment("zos")))
    assert set(host.root.links) - set(before) == {"t-AA9j9eBFDtpjD"}
    nothing = Segment("zos", owns_bridge=False)
    await host.apply(segment.plan(nothing, await host.observe_segment("zos")))
    assert (host.root.links, host.guarded) == (before, {})


async def test_rules_are_in_force_before_the_tap_that_they_guard_is_there():
    kinds = [type(step) for step in await made(with_taps(TAP), FakeHost.walled())]
    assert kinds.index(GuardTaps) < kinds.index(CreateTap)


@given(st.lists(st.sets(st.sampled_from([TAP, OTHER])), max_size=4), st.randoms())
async def test_from_any_half_made_state_the_rest_is_planned(asked: list[set[Tap]], chance: random.Random):
    host = FakeHost.walled()
    for taps in [*asked, {TAP}]:
        steps = segment.plan(with_taps(*taps), await observed(host))
        await host.apply(steps[: chance.randint(0, len(steps))])
    await made(with_taps(TAP), host)
    assert await made(with_taps(TAP), host) == []
    ports = {name for name, link in host.root.links.items() if link.master == "br-ygg"}
    assert ports == {"t-AA9j9eBFDtpjD"}


def test_another_kind_of_link_under_the_bridges_name_is_replaced():
    steps = segment.plan(with_taps(), ObservedSegment({"br-ygg": Link(LinkKind.VETH)}))
    assert steps[0] == DropLinks(("br-ygg",))
    assert any(isinstance(step, AddAddress) for step in steps)
    assert any(isinstance(step, SetUp) for step in steps)


def test_yggdrasil_is_started_anew_only_for_another_configuration():
    desired = DesiredYggdrasil(IDENTITY)
    running = ObservedYggdrasil(True, planetary.digest(desired.config()))
    assert planetary.plan(desired, running) == ()
    for other in (
        dataclasses.replace(desired, peers=(PEER,)),
        dataclasses.replace(desired, identity=PlanetaryIdentity(bytes(32))),
    ):
        assert planetary.plan(other, running) == (StartYggdrasil(other.config()),)
    assert planetary.plan(desired, ObservedYggdrasil(served=True)) == (StartYggdrasil(desired.config()),), "it hangs"
    assert planetary.plan(None, running) == (StopYggdrasil(),)
    assert planetary.plan(None, ObservedYggdrasil()) == ()


def test_a_peer_is_dialled_until_it_is_connected():
    desired = DesiredYggdrasil(IDENTITY, peers=(PEER + "?key=ab",))
    lonely = ObservedYggdrasil(True, planetary.digest(desired.config()))
    assert planetary.plan(desired, lonely) == (DialPeer(PEER + "?key=ab"),)
    assert planetary.plan(desired, dataclasses.replace(lonely, peers=frozenset({PEER}))) == ()


def test_the_configuration_names_both_halves_of_the_key_and_the_uplink_alone():
    config = json.loads(DesiredYggdrasil(IDENTITY).config())
    public = SigningKey(IDENTITY.seed).verify_key.encode().hex()
    assert (config["PrivateKey"], config["PublicKey"]) == (IDENTITY.seed.hex() + public, public)
    assert [one["Regex"] for one in config["MulticastInterfaces"]] == ["^zos$"]


def test_no_text_of_a_step_or_wish_shows_the_key():
    desired = DesiredYggdrasil(IDENTITY)
    (step,) = planetary.plan(desired, ObservedYggdrasil())
    assert IDENTITY.seed.hex()[:16] not in repr(step)
    assert repr(IDENTITY.seed)[2:-1] not in repr(desired)


# The daemon


@dataclasses.dataclass(frozen=True)
class NoConfig:
    """No table in the configuration file."""


class Core0(Daemon):
    """A core-0 of which only the API runs."""

    name = "core0"
    config = NoConfig

    async def open(self, rt: Runtime) -> None:
        rt.serve(Core0Service(KEY, list), add_Core0Servicer_to_server)


KEY = SigningKey(b"\x07" * 32)
MINE = PlanetaryIdentity(derive(KEY, KeyUse.PLANETARY))


@asynccontextmanager
async def networkd(folder: Path, host: FakeHost, **config: object) -> AsyncIterator[NetworkdClient]:
    settings = Config(**{"every": 0.05, **config})  # type: ignore[arg-type]
    async with running(Core0, folder), running(Networkd, folder, host=host, config=settings) as rt:
        yield NetworkdClient(rt.bus)


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not claim():
            await asyncio.sleep(0.01)


async def test_the_node_is_in_the_planetary_network_by_a_key_of_its_own(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        await until(lambda: host.yggdrasil is not None)
        found = await client.planetary()
    assert (found.offered, found.detail) == (True, "")
    assert (found.address, found.subnet) == (str(MINE.address), str(MINE.subnet))
    assert json.loads(host.yggdrasil or "")["PrivateKey"][:64] not in KEY.encode().hex()


async def test_a_tap_says_what_its_guest_must_be_told(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        info = await client.ensure_tap(TAP)
        assert (info.device, info.bridge, info.mac) == ("t-AA9j9eBFDtpjD", "br-ygg", TAP.mac)
        assert info.addresses == (f"{MINE.guest(TAP.mac)}/64",)
        assert info.routes == (TapRoute("200::/7", str(MINE.gateway)),)
        assert (info.gateway, info.gateway6, info.network) == ("", "", "")
        assert await client.ensure_tap(TAP) == info
        assert host.root.links["t-AA9j9eBFDtpjD"].master == "br-ygg"
        for _ in range(2):
            await client.drop_tap(TAP.id)
        assert "t-AA9j9eBFDtpjD" not in host.root.links


async def test_what_cannot_be_a_tap_is_refused(tmp_path: Path):
    async with networkd(tmp_path, FakeHost()) as client:
        with pytest.raises(BadTap, match="id"):
            await client.ensure_tap(dataclasses.replace(TAP, id=TapId("../x")))
        with pytest.raises(BadTap, match="mac"):
            await client.ensure_tap(dataclasses.replace(TAP, mac="01:00:00:00:00:01"))
        await client.ensure_tap(TAP)
        with pytest.raises(AddressTaken):
            await client.ensure_tap(dataclasses.replace(TAP, id=OTHER.id))


@pytest.mark.parametrize(
    ("lacks", "config", "words"),
    [
        ("the program yggdrasil is not installed", {}, "the program yggdrasil is not installed"),
        ("", {"planetary": False}, "the farmer turned it off"),
        ("", {"planetary_peers": ("tcp://example.com:9943",)}, "`tcp://example.com:9943` of planetary_peers"),
    ],
)
async def test_a_node_that_cannot_says_why_and_makes_nothing(
    tmp_path: Path, lacks: str, config: dict[str, object], words: str
):
    host = FakeHost()
    host.lacks = lacks
    async with networkd(tmp_path, host, **config) as client:
        found = await client.planetary()
        assert not found.offered
        assert found.detail.startswith(words)
        with pytest.raises(NoPlanetary, match=f"this node offers no planetary network: {words}"):
            await client.ensure_tap(TAP)
        await until(lambda: "zos" in host.root.links)
        assert set(host.root.links) == {"lo", "eth0", "zos"}
        assert host.yggdrasil is None


async def test_a_machine_of_before_keeps_its_tap_on_a_node_that_can_no_longer(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        before = await client.ensure_tap(TAP)
        await until(lambda: host.yggdrasil is not None)
    host.lacks = "there is no user yggdrasil"
    async with networkd(tmp_path, host) as client:
        await until(lambda: host.yggdrasil is None)
        assert await client.ensure_tap(TAP) == before
        with pytest.raises(NoPlanetary):
            await client.ensure_tap(OTHER)
        await client.drop_tap(TAP.id)
        await until(lambda: "br-ygg" not in host.root.links)


async def test_a_yggdrasil_that_does_not_start_is_told_and_tried_again(tmp_path: Path):
    host = FakeHost()
    host.broken = StartYggdrasil
    async with networkd(tmp_path, host) as client:
        async with asyncio.timeout(5):
            while (found := await client.planetary()).offered:
                await asyncio.sleep(0.01)
        assert "the kernel refused to start yggdrasil" in found.detail
        with pytest.raises(PlanetaryNotUp):
            await client.ensure_tap(TAP)
        host.broken = None
        await until(lambda: host.yggdrasil is not None)
        assert await client.ensure_tap(TAP)
        assert (await client.planetary()).offered


async def test_a_yggdrasil_that_dies_is_back_by_itself_and_machines_keep_their_taps(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host, every=60) as client:
        await client.ensure_tap(TAP)
        await until(lambda: host.yggdrasil is not None)
        links = dict(host.root.links)
        host.end_yggdrasil()
        await until(lambda: host.yggdrasil is not None)
        assert host.root.links == links


async def test_a_restart_finds_everything_and_touches_nothing(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        before = await client.ensure_tap(TAP)
        await until(lambda: host.yggdrasil is not None)
    done = len(host.steps)
    async with networkd(tmp_path, host) as client:
        assert await client.ensure_tap(TAP) == before
        assert (await client.planetary()).offered
    assert len(host.steps) == done


async def test_after_a_boot_all_is_made_from_the_ledger(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        await client.ensure_tap(TAP)
    booted = FakeHost()
    async with networkd(tmp_path, booted):
        await until(lambda: "t-AA9j9eBFDtpjD" in booted.root.links and booted.yggdrasil is not None)


async def test_nothing_waits_for_core0_but_the_planetary_network(tmp_path: Path):
    host = FakeHost()
    async with running(Networkd, tmp_path, host=host, config=Config(every=60)) as rt:
        client = NetworkdClient(rt.bus)
        await until(lambda: "zos" in host.root.links)
        assert (await client.planetary()).address == ""
        assert host.yggdrasil is None


async def test_a_configured_peer_is_dialled_again_until_it_is_there(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host, planetary_peers=(PEER,)) as client:
        await until(lambda: DialPeer(PEER) in host.steps)
        host.reachable.add(PEER)
        async with asyncio.timeout(5):
            while (await client.planetary()).peers != (PEER,):
                await asyncio.sleep(0.01)


async def test_a_tap_that_cannot_be_made_now_is_made_later(tmp_path: Path):
    host = FakeHost()
    async with networkd(tmp_path, host) as client:
        await until(lambda: host.yggdrasil is not None)
        host.broken = CreateTap
        with pytest.raises(KernelRefused):
            await client.ensure_tap(TAP)
        host.broken = None
        await until(lambda: "t-AA9j9eBFDtpjD" in host.root.links)
