"""What networkd made outlives it, what is broken or left over is put right."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from netns import at_rest
from sides import OPEN, networks, one_network, reaches, settles, tap, two_nodes

from zos.errors import ZosError
from zos.networkd import model
from zos.networkd.api.check import public_key

pytestmark = [pytest.mark.root, pytest.mark.timeout(90)]


async def test_killing_networkd_leaves_the_tunnel_and_the_next_one_touches_nothing():
    async with one_network() as (a, _b, left, _):
        await a.client.ensure_tap(tap(left.id, "10.20.2.9"))
        before, process = await at_rest(a.world), a.wireguard_go(left.id)
        (daemon,) = a.node.daemons
        a.node.kill(daemon)
        assert a.pings("10.20.3.2", "m")
        (a.node.folder / "networkd.log").write_text("")
        a.node.networkd(OPEN)
        await a.ready()
        info = await a.client.ensure_network(left)
        assert (info.listen_port, info.detail) == (left.listen_port, "")
        assert a.pings("10.20.3.2", "m")
        assert a.wireguard_go(left.id) == process
        await settles(a, before)
        assert "steps" not in (a.node.folder / "networkd.log").read_text()


async def test_a_network_that_gave_its_place_is_taken_down_and_built_again():
    async with two_nodes() as (a, b):
        left, _ = networks(a, b)
        await a.client.ensure_network(left)
        made = a.node.sh(f"stat -c %i /run/netns/n-{left.id}")
        (daemon,) = a.node.daemons
        a.node.kill(daemon)
        (path,) = a.node.folder.rglob(f"networks/{left.id}.json")
        record = json.loads(path.read_text())
        record["body"]["parked"] = True
        path.write_text(json.dumps(record))
        a.node.networkd(OPEN)
        await a.ready()
        # There is a place: what is down is built at once.
        async with asyncio.timeout(20):
            while (await a.client.list_networks())[0].detail or made == a.node.sh(f"stat -c %i /run/netns/n-{left.id}"):
                await asyncio.sleep(0.1)
        (info,) = await a.client.list_networks()
        assert (info.listen_port, info.public_key) == (left.listen_port, public_key(left.private_key))
        await a.machine("m", left.id, "10.20.2.2", "10.20.2.1")
        await reaches(a, "192.0.2.2", "m")


async def test_a_killed_wireguard_go_is_back_and_the_overlay_with_it():
    async with one_network() as (a, _b, left, _):
        process = a.wireguard_go(left.id)
        if not process:
            pytest.skip("this kernel has WireGuard itself; there is no wireguard-go to kill")
        a.node.sh(f"kill -9 {process}")
        await reaches(a, "10.20.3.2")
        assert a.wireguard_go(left.id) not in ("", process)


async def test_after_a_drop_everything_is_as_before():
    async with two_nodes() as (a, b):
        before = await at_rest(a.world)
        left, _ = networks(a, b)
        await a.client.ensure_network(left)
        await a.client.ensure_tap(tap(left.id, "10.20.2.9"))
        assert a.world() != before
        await a.client.drop_network(left.id)
        assert f"n-{left.id}" in a.node.sh("ip netns"), "a machine is on it"
        await a.client.drop_tap(tap(left.id, "10.20.2.9").id)
        await settles(a, before)
        await a.client.drop_network(left.id)
        again, _ = networks(a, b)
        assert (await a.client.ensure_network(again)).detail == ""


async def test_what_a_lost_ledger_left_is_found_and_removed():
    async with two_nodes() as (a, b):
        before = await at_rest(a.world)
        left, _ = networks(a, b)
        await a.client.ensure_network(left)
        await a.client.ensure_tap(tap(left.id, "10.20.2.9"))
        (daemon,) = a.node.daemons
        a.node.kill(daemon)
        a.node.sh(f"kill -9 $(pgrep wireguard-go); ip link del b-{left.id}", check=False)
        shutil.rmtree(a.node.folder / "state")
        a.node.networkd(f"{OPEN}spare = 0.0")
        await a.ready()
        await settles(a, before)


async def test_a_broken_piece_is_mended_whatever_it_is():
    async with one_network() as (a, _b, left, _):
        namespace = f"n-{left.id}"
        for harm in (
            f"ip -n {namespace} link set w-{left.id} down",
            f"ip -n {namespace} addr del 10.20.2.1/24 dev {namespace}",
            f"ip -n {namespace} route del default",
            f"ip -n {namespace} route del 10.20.0.0/16",
            f"ip link del x-{left.id}",
            f"ip link set v-{left.id} nomaster",
            f"nsenter --net=/run/netns/{namespace} nft flush ruleset",
            f"nsenter --net=/run/netns/{namespace} nft flush set inet zos network4",
            f"nsenter --net=/run/netns/{namespace} sysctl -q net.ipv4.ip_forward=0",
            f"nsenter --net=/run/netns/{namespace} wg set w-{left.id} peer {left.peers[0].public_key} remove",
        ):
            a.node.sh(harm)
            info = await a.client.ensure_network(left)
            assert info.detail == ""
            await reaches(a, "10.20.3.2")
            await reaches(a, "192.0.2.2")
            rules = a.node.sh("nft list ruleset", namespace=namespace)
            assert "chain forward" in rules, harm


async def test_addresses_that_are_looked_for_come_and_go_and_are_put_right_while_the_table_stays():
    async with one_network() as (a, _b, left, _):
        namespace = f"n-{left.id}"

        def sets() -> list[set[str]]:
            shown = [a.node.sh(f"nft list set inet zos network{version}", namespace=namespace) for version in (4, 6)]
            found = [re.search(r"elements = \{ ([^}]*) \}", text) for text in shown]
            return [set(re.split(r",\s+", one.group(1))) if one else set() for one in found]

        def handle() -> str:
            return a.node.sh("nft -a list tables", namespace=namespace)

        alone, table = sets(), handle()
        assert alone[0] == {"10.20.2.2"}
        guest = tap(left.id, "10.20.2.9")
        info = await a.client.ensure_tap(guest)
        both = sets()
        assert both[0] == {"10.20.2.2", "10.20.2.9"}
        assert both[1] - alone[1] == {one.partition("/")[0] for one in info.addresses if ":" in one}
        a.node.sh("nft delete element inet zos network4 '{ 10.20.2.9 }'", namespace=namespace)
        a.node.sh(
            "nft add element inet zos network4 '{ 10.20.2.77 }'; nft flush set inet zos network6", namespace=namespace
        )
        await a.client.ensure_tap(guest)
        assert sets() == both
        await a.client.drop_tap(guest.id)
        assert sets() == alone
        assert handle() == table


async def test_whenever_networkd_is_killed_no_tap_is_up_before_its_guard_and_its_address():
    async with one_network() as (a, _b, left, _):
        chance = random.Random(1)
        for number in range(8):
            guest = tap(left.id, f"10.20.2.{20 + number}", f"vm{number}")
            asked = asyncio.create_task(a.client.ensure_tap(guest))
            await asyncio.sleep(chance.uniform(0.001, 0.02))
            (daemon,) = a.node.daemons
            a.node.kill(daemon)
            with contextlib.suppress(ZosError):
                await asked
            device = model.tap(guest.id)
            shown = a.node.sh(f"ip link show {device}", check=False)
            if "master" in shown and "UP" in shown.partition(">")[0]:
                assert a.node.ok(f"nft list chain bridge zos {device}")
                element = f"nft get element inet zos network4 '{{ {guest.ip} }}'"
                assert a.node.ok(element, namespace=f"n-{left.id}")
            a.node.networkd(OPEN)
            await a.ready()
            await a.client.ensure_tap(guest)
        await reaches(a, "10.20.3.2")


async def test_a_lost_namespace_is_built_again_under_living_machines():
    async with one_network() as (a, _b, left, _):
        a.node.sh(f"ip netns del n-{left.id}")
        await a.client.ensure_network(left)
        await reaches(a, "10.20.3.2")


async def test_a_tunnel_that_hangs_is_ended_all_the_same():
    async with two_nodes() as (a, b):
        before = await at_rest(a.world)
        left, _ = networks(a, b)
        await a.client.ensure_network(left)
        process = a.wireguard_go(left.id)
        if process:
            a.node.sh(f"kill -STOP {process}")
        await a.client.drop_network(left.id)
        await settles(a, before)
