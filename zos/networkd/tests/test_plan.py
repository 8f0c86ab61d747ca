"""Plans from what is observed to what is desired, from every state in between too."""

from __future__ import annotations

import base64
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.networkd import layout, model
from zos.networkd.api import NetId, Network, Peer, Place, PortTaken, Tap, TapId
from zos.networkd.api.types import Backend
from zos.networkd.fake import FakeHost
from zos.networkd.model import (
    Address,
    Desired,
    DesiredPeer,
    DesiredTunnel,
    LinkKind,
    NetworkRecord,
    Observed,
    ObservedPeer,
    ObservedTunnel,
    Route,
)
from zos.networkd.plan import configuration, plan
from zos.networkd.steps import (
    AddAddress,
    Attach,
    ConfigureTunnel,
    CreateNamespace,
    CreateTap,
    CreateTunnel,
    DropAddress,
    DropLinks,
    DropNamespace,
    DropTunnel,
    EndTunnel,
    GuardTaps,
    KnowAddresses,
    LoadRules,
    PutPeer,
    PutRoute,
    SetUp,
    UnguardTaps,
)

ID = NetId("B3gDSpMoHJXdF")


def key(number: int) -> str:
    return base64.b64encode(bytes([number]) * 32).decode()


def peer(number: int, endpoint: str = "") -> Peer:
    return Peer(f"10.20.{number}.0/24", key(number), endpoint, (f"10.20.{number}.0/24", f"100.64.20.{number}/32"))


NETWORK = Network(ID, 26, "mynet", "10.20.0.0/16", "10.20.2.0/24", key(1), 4000, (peer(3, "198.51.100.22:4000"),))
TAP = Tap(TapId("AbE3zNtFw21Fr"), Place.NETWORK, "ee:5b:b5:ff:9b:4b", ID, ip="10.20.2.5")


def desired(network: Network = NETWORK, *taps: Tap) -> Desired:
    return layout.desired(NetworkRecord(network, 0), taps)


async def observed(host: FakeHost) -> Observed:
    return await host.observe(ID, [model.tap(TAP.id)])


async def built(*taps: Tap, network: Network = NETWORK) -> FakeHost:
    host = FakeHost.walled()
    await host.apply(plan(desired(network, *taps), await observed(host), ID))
    return host


async def test_nothing_is_done_twice():
    host = await built(TAP)
    assert plan(desired(NETWORK, TAP), await observed(host), ID) == ()


async def test_rules_are_in_force_before_any_link_inside_comes_up():
    steps = plan(desired(), Observed(), ID)
    rules = next(number for number, step in enumerate(steps) if isinstance(step, LoadRules))
    first = next(number for number, step in enumerate(steps) if isinstance(step, SetUp))
    assert rules < first


async def test_a_network_has_the_addresses_and_routes_of_the_grid():
    inner = desired().inner
    assert Address("10.20.2.1/24") in inner.links[f"n-{ID}"].addresses
    assert Address("fd42:3367:4453:2::1/64") in inner.links[f"n-{ID}"].addresses
    assert Address("fe80::1/64") in inner.links[f"n-{ID}"].addresses
    assert inner.links[f"w-{ID}"].addresses == {Address("100.64.20.2/16")}
    assert Route("10.20.0.0/16", f"w-{ID}") in inner.routes


def test_a_network_of_one_node_has_no_route_into_the_tunnel():
    alone = dataclasses.replace(NETWORK, ip_range="10.20.2.0/24")
    assert not [route for route in desired(alone).inner.routes if route.link == f"w-{ID}"]


def test_exit_addresses_are_distinct_and_end_before_broadcast():
    assert str(model.exit_address(0)) == "100.127.0.2"
    assert str(model.exit_address(model.EXIT_SLOTS - 1)) == "100.127.255.254"
    assert str(model.exit_address6(1)) == "fd00::3"
    assert str(model.exit_address6(model.EXIT_SLOTS - 1)) == "fd00::fffe"


async def test_a_tap_comes_and_goes_without_touching_the_rest():
    host = await built()
    added = plan(desired(NETWORK, TAP), await observed(host), ID)
    assert {type(step).__name__ for step in added} == {
        *("GuardTaps", "CreateTap", "Silence", "Attach", "SetUp", "KnowAddresses"),
    }
    assert isinstance(added[0], GuardTaps), "a tap never stands there unguarded"
    assert {getattr(step, "link", "t-AbE3zNtFw21Fr") for step in added} == {"t-AbE3zNtFw21Fr"}
    await host.apply(added)
    gone = ("t-AbE3zNtFw21Fr",)
    old = KnowAddresses(f"n-{ID}", "zos", old=KNOWN)
    assert plan(desired(NETWORK), await observed(host), ID) == (DropLinks(gone), UnguardTaps(gone), old)


KNOWN = {"network4": frozenset({TAP.ip}), "network6": frozenset({"fd42:3367:4453:2::5"})}


async def test_only_the_addresses_of_taps_are_looked_for_and_they_come_before_the_tap_is_up():
    assert desired(NETWORK, TAP).inner.known == KNOWN
    assert desired(NETWORK).inner.known == {"network4": frozenset(), "network6": frozenset()}
    assert desired(NETWORK).ruleset == desired(NETWORK, TAP).ruleset, "the table stays"
    for steps in (
        plan(desired(NETWORK, TAP), Observed(), ID),
        plan(desired(NETWORK, TAP), await observed(await built()), ID),
    ):
        known = next(n for n, step in enumerate(steps) if isinstance(step, LoadRules | KnowAddresses))
        assert {getattr(steps[known], name, None) == KNOWN for name in ("known", "new")} == {True, False}
        assert known < next(
            n
            for n, step in enumerate(steps)
            if getattr(step, "link", "") == "t-AbE3zNtFw21Fr" and isinstance(step, Attach)
        )


async def test_addresses_that_somebody_changed_by_hand_are_put_right():
    host = await built(TAP)
    space = host.spaces[f"n-{ID}"]
    space.known = {"network4": frozenset({"10.20.2.77"}), "network6": KNOWN["network6"]}
    (step,) = plan(desired(NETWORK, TAP), await observed(host), ID)
    assert step == KnowAddresses(
        f"n-{ID}", "zos", {"network4": KNOWN["network4"]}, {"network4": frozenset({"10.20.2.77"})}
    )
    await host.apply((step,))
    assert space.known == KNOWN


async def test_rules_and_addresses_stay_while_a_tap_without_record_is_spared_and_new_ones_come():
    host = await built(TAP)
    spared = dataclasses.replace(await observed(host), spares=True)
    kinds = LoadRules | KnowAddresses
    assert not any(isinstance(step, kinds) for step in plan(desired(NETWORK), spared, ID))
    changed = dataclasses.replace(NETWORK, ip_range="10.0.0.0/8", mycelium="548:c783:d7ce:74a3::/64")
    other = dataclasses.replace(TAP, id=TapId("LGuiLd27LmXmK"), ip="10.20.2.6", mac="ee:5b:b5:ff:9b:4c")
    (step,) = [step for step in plan(desired(changed, other), spared, ID) if isinstance(step, kinds)]
    assert step == KnowAddresses(
        f"n-{ID}", "zos", {"network4": frozenset({"10.20.2.6"}), "network6": frozenset({"fd42:3367:4453:2::6"})}
    ), "rules of an earlier release may lack a set; what it has is filled"


async def test_a_tunnel_that_was_not_asked_for_stays_as_it_is_and_a_missing_one_is_made():
    host = await built()
    alone = await host.observe(ID, [model.tap(TAP.id)], tunnel=False)
    assert (alone.asked, alone.tunnel) == (False, None)
    changed = dataclasses.replace(NETWORK, listen_port=4001, peers=())
    assert plan(desired(changed), alone, ID) == ()
    host.end_tunnel(ID)
    steps = plan(desired(NETWORK), await host.observe(ID, [], tunnel=False), ID)
    assert [type(step) for step in steps][:2] == [CreateTunnel, ConfigureTunnel]


async def test_a_tap_whose_guard_is_lost_or_another_gets_its_own():
    host = await built(TAP)
    host.guarded[model.tap(TAP.id)] = "another"
    (step,) = plan(desired(NETWORK, TAP), await observed(host), ID)
    assert step == GuardTaps(desired(NETWORK, TAP).guards)
    host.guarded.clear()
    assert plan(desired(NETWORK, TAP), await observed(host), ID) == (step,)


async def test_a_changed_port_and_new_peers_are_configured_without_taking_anything_down():
    host = await built(TAP)
    changed = dataclasses.replace(NETWORK, listen_port=4001, peers=(peer(3, "198.51.100.22:4000"), peer(4)))
    assert plan(desired(changed, TAP), await observed(host), ID) == (
        ConfigureTunnel(
            link=f"w-{ID}",
            namespace=f"n-{ID}",
            listen_port=4001,
            former_port=4000,
            put=(PutPeer(key(4), ("10.20.4.0/24", "100.64.20.4/32"), ""),),
        ),
    )


async def test_a_peer_that_left_is_removed_and_the_others_stay_as_they_are():
    host = await built()
    alone = dataclasses.replace(NETWORK, peers=())
    (step,) = plan(desired(alone), await observed(host), ID)
    assert step == ConfigureTunnel(f"w-{ID}", f"n-{ID}", former_port=4000, remove=(key(3),))


async def test_a_port_that_a_program_has_is_refused_before_anything_is_done():
    host = await built()
    host.busy.add(5353)
    with pytest.raises(PortTaken, match="5353 is taken by a program of this node"):
        plan(desired(dataclasses.replace(NETWORK, listen_port=5353)), await observed(host), ID)


async def test_a_tunnel_that_died_is_built_again_and_only_that():
    host = await built(TAP)
    host.end_tunnel(ID)
    steps = plan(desired(NETWORK, TAP), await observed(host), ID)
    assert isinstance(steps[0], CreateTunnel)
    assert steps[-1] == PutRoute(f"n-{ID}", Route("10.20.0.0/16", f"w-{ID}"))
    assert {getattr(step, "link", f"w-{ID}") for step in steps} == {f"w-{ID}"}
    await host.apply(steps)
    assert plan(desired(NETWORK, TAP), await observed(host), ID) == ()


async def test_a_link_that_nothing_serves_is_removed_first():
    host = await built()
    del host.tunnels[f"w-{ID}"]
    steps = plan(desired(), await observed(host), ID)
    assert steps[:2] == (DropTunnel(f"w-{ID}"), CreateTunnel(f"w-{ID}", f"n-{ID}"))


async def test_a_process_whose_link_went_away_goes_first_and_its_port_is_no_obstacle():
    host = await built()
    orphan = dataclasses.replace(await observed(host), inner=None, tunnel=None, served=True, busy=frozenset({4000}))
    steps = plan(desired(), orphan, ID)
    create = steps.index(CreateTunnel(f"w-{ID}", f"n-{ID}"))
    assert steps[create - 1] == DropTunnel(f"w-{ID}")


async def test_a_lost_namespace_is_built_again_with_new_pairs():
    host = await built(TAP)
    del host.spaces[f"n-{ID}"]
    del host.tunnels[f"w-{ID}"]
    steps = plan(desired(NETWORK, TAP), await observed(host), ID)
    assert steps[:2] == (DropLinks((f"v-{ID}", f"x-{ID}")), CreateNamespace(f"n-{ID}"))
    assert not any(isinstance(step, CreateTap) for step in steps), "machines stay connected to their taps"
    await host.apply(steps)
    assert plan(desired(NETWORK, TAP), await observed(host), ID) == ()


async def test_a_moved_subnet_swaps_addresses():
    host = await built()
    moved = dataclasses.replace(NETWORK, subnet="10.20.7.0/24")
    steps = plan(desired(moved), await observed(host), ID)
    assert DropAddress(f"n-{ID}", f"n-{ID}", Address("10.20.2.1/24")) in steps
    assert AddAddress(f"n-{ID}", f"n-{ID}", Address("10.20.7.1/24")) in steps
    assert not any(isinstance(step, DropTunnel | CreateTunnel | DropLinks) for step in steps)
    await host.apply(steps)
    await host.apply(plan(desired(moved), await observed(host), ID))
    assert plan(desired(moved), await observed(host), ID) == ()


async def test_a_drop_ends_the_tunnel_while_it_removes_the_namespace_then_all_links_at_once():
    host = await built(TAP)
    assert plan(None, await observed(host), ID) == (
        EndTunnel(f"w-{ID}"),
        DropNamespace(f"n-{ID}"),
        DropLinks((f"b-{ID}", "t-AbE3zNtFw21Fr", f"v-{ID}", f"x-{ID}")),
        UnguardTaps(("t-AbE3zNtFw21Fr",)),
        DropTunnel(f"w-{ID}"),
    )


@given(st.integers(0, 60), st.integers(0, 60), st.booleans())
async def test_from_any_interruption_the_way_leads_on_and_back(built_until: int, dropped_until: int, crashed: bool):
    host = FakeHost.walled()
    goal = desired(NETWORK, TAP)
    await host.apply(plan(goal, await observed(host), ID)[:built_until])
    if crashed and model.tunnel(ID) in host.tunnels:
        host.end_tunnel(ID)
    await host.apply(plan(None, await observed(host), ID)[:dropped_until])
    await host.apply(plan(goal, await observed(host), ID))
    assert plan(goal, await observed(host), ID) == ()
    await host.apply(plan(None, await observed(host), ID))
    assert set(host.root.links) == {"lo", "eth0"}
    assert not host.spaces
    assert not host.tunnels
    assert await host.networks() == frozenset()


NETWORKS = st.builds(
    lambda port, peers, own: dataclasses.replace(NETWORK, listen_port=port, peers=tuple(peers), private_key=key(own)),
    st.integers(4000, 4003),
    st.lists(
        st.builds(peer, st.integers(3, 9), st.sampled_from(["", "198.51.100.22:4000"])),
        unique_by=lambda entry: entry.public_key,
    ),
    st.integers(1, 2),
)


@given(NETWORKS, NETWORKS)
async def test_an_update_never_takes_a_tunnel_down(before: Network, after: Network):
    host = await built(TAP, network=before)
    steps = plan(desired(after, TAP), await observed(host), ID)
    assert all(isinstance(step, ConfigureTunnel) for step in steps)
    assert len(steps) == (before != after and bool(steps))
    await host.apply(steps)
    assert plan(desired(after, TAP), await observed(host), ID) == ()


def tunnel(endpoint: str, **fields: object) -> tuple[DesiredTunnel, ObservedTunnel]:
    allowed = frozenset({"10.20.3.0/24"})
    wanted = DesiredTunnel(key(1), "own", 4000, {"K": DesiredPeer("K", "192.0.2.9:1", allowed)})
    there = ObservedPeer("K", endpoint, allowed, model.KEEPALIVE, **fields)  # type: ignore[arg-type]
    return wanted, ObservedTunnel(Backend.WIREGUARD_GO, "own", 4000, {"K": there})


def is_configured(endpoint: str, **fields: object) -> bool:
    return configuration("w", "n", *tunnel(endpoint, **fields)) is not None


def test_a_peer_that_roams_and_lives_is_left_where_it_is():
    assert not is_configured("192.0.2.9:2", alive=True)
    assert not is_configured("192.0.2.9:2", alive=True, configured_endpoint="192.0.2.9:1")


def test_a_peer_whose_desired_endpoint_changed_is_configured_at_once():
    assert is_configured("192.0.2.9:2", alive=True, configured_endpoint="192.0.2.9:2")


def test_a_peer_that_fell_silent_is_configured_anew():
    assert is_configured("192.0.2.9:2", alive=False, configured_endpoint="192.0.2.9:1")
    assert is_configured("", alive=False)
    assert not is_configured("192.0.2.9:1", alive=False)


def test_a_steps_words_name_what_it_touches_and_no_secret():
    words = {step.describe() for step in plan(desired(NETWORK, TAP), Observed(), ID)}
    assert f"add address 10.20.2.1/24 on n-{ID} in n-{ID}" in words
    assert f"attach t-AbE3zNtFw21Fr to b-{ID}" in words
    assert f"create namespace n-{ID}" in words
    assert not [text for text in words if key(1) in text]
    assert key(1) not in repr(plan(desired(), Observed(), ID))


def test_a_link_of_another_kind_under_our_name_is_replaced():
    odd = dataclasses.replace(desired().root.links[f"b-{ID}"], kind=LinkKind.VETH)
    steps = plan(desired(), Observed(root=model.Space({f"b-{ID}": odd})), ID)
    assert steps[0] == DropLinks((f"b-{ID}",))
