"""From a spec to signed documents: who is whose peer, what stays in an update, what the contract carries."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from zos.cli.client import compose
from zos.cli.client.network import (
    Candidate,
    NetworkPlan,
    NoAccessNode,
    SubnetConflict,
    peers,
    public_key,
    reachable,
    wg_quick,
)
from zos.cli.client.spec import Spec, ZdbSpec, parse
from zos.model.deployment import Deployment
from zos.model.units import GiB

CANDIDATES = {1: Candidate(1, "198.51.100.21"), 2: Candidate(2, "198.51.100.22"), 3: Candidate(3, "")}
ZDB = ZdbSpec("db1", 0, GiB(1), "seq", "pw", False)


def spec(machines: Mapping[str, Mapping[str, Any]], access: bool = False) -> Spec:
    bodies = {name: {"flist": "http://hub/web.fl", **body} for name, body in machines.items()}
    return parse(yaml.safe_dump({"name": "demo", "networks": {"net": {"access": access}}, "machines": bodies}))


def composed(wanted: Spec, **more: Any) -> compose.Composed:
    return compose.compose(wanted, 7, CANDIDATES, pick=lambda ports: ports[0], **more)


def network(deployment: Deployment) -> Mapping[str, Any]:
    return next(one.data for one in deployment.workloads if one.type == "network")


def test_machines_without_a_node_go_where_least_is() -> None:
    placed = compose.assign(spec({"a": {"node": 1}, "b": {}, "c": {}}), [1, 2])
    assert [machine.node for machine in placed.machines] == [1, 2, 1]


def test_a_node_that_the_chain_does_not_know_is_refused() -> None:
    with pytest.raises(compose.NoNode, match="machine a needs node 9"):
        compose.assign(spec({"a": {"node": 9}}), [1, 2])


def test_namespaces_go_to_hard_disks_and_stay_where_they_are() -> None:
    asked = dataclasses.replace(spec({"a": {"node": 3}}), zdbs=(ZDB, dataclasses.replace(ZDB, name="db2")))
    assert [one.node for one in compose.assign(asked, [1, 2, 3], {}, {2, 3}).zdbs] == [2, 2]
    assert [one.node for one in compose.assign(asked, [1, 2, 3], {"db1": 3}, {2, 3}).zdbs] == [3, 2]
    with pytest.raises(compose.NoNode, match="zdb db1 needs node any"):
        compose.assign(asked, [1, 2, 3])


def test_a_file_may_have_namespaces_alone() -> None:
    alone = Spec("store", "", (), (), zdbs=(dataclasses.replace(ZDB, node=2),))
    composed = compose.compose(alone, 7, {}, pick=min)
    (workload,) = composed.deployments[2].workloads
    assert (workload.name, workload.type) == ("db1", "zdb")
    assert workload.data == {"size": 1 << 30, "mode": "seq", "password": "pw", "public": False}


def test_each_node_has_its_subnet_and_the_other_as_peer() -> None:
    found = composed(spec({"a": {"node": 1}, "b": {"node": 2}}))
    first, second = network(found.deployments[1]), network(found.deployments[2])
    assert (first["subnet"], second["subnet"]) == ("10.20.2.0/24", "10.20.3.0/24")
    (peer,) = first["peers"]
    assert peer["wireguard_public_key"] == public_key(second["wireguard_private_key"])
    assert peer["allowed_ips"] == ["10.20.3.0/24", "100.64.20.3/32"]
    assert peer["endpoint"] == f"198.51.100.22:{second['wireguard_listen_port']}"
    assert found.addresses == {"a": "10.20.2.2", "b": "10.20.3.2"}


def test_a_hidden_node_dials_the_access_node_and_is_reached_through_it() -> None:
    found = composed(spec({"a": {"node": 1}, "b": {"node": 2}, "c": {"node": 3}}))
    (plan,) = found.networks
    hidden = network(found.deployments[3])
    (up,) = hidden["peers"]
    assert up["allowed_ips"] == ["10.20.0.0/16", "100.64.0.0/16"]
    assert up["endpoint"].startswith(CANDIDATES[plan.access_node].host)
    others = {node: [peer.subnet for peer in peers(plan, node)] for node in (1, 2)}
    assert hidden["subnet"] in others[plan.access_node]
    away = next(node for node in (1, 2) if node != plan.access_node)
    through = next(peer for peer in peers(plan, away) if peer.subnet == plan.member(plan.access_node).subnet)
    assert hidden["subnet"] in through.allowed_ips


def test_two_hidden_nodes_and_nobody_else_are_refused() -> None:
    candidates = {1: Candidate(1, ""), 2: Candidate(2, "")}
    with pytest.raises(NoAccessNode):
        compose.compose(spec({"a": {"node": 1}, "b": {"node": 2}}), 7, candidates, pick=min)


def test_the_users_way_in_is_a_peer_of_one_node_and_its_key_is_in_no_deployment() -> None:
    found = composed(spec({"a": {"node": 1}}, access=True))
    (plan,) = found.networks
    assert plan.user is not None
    (peer,) = network(found.deployments[1])["peers"]
    assert peer["wireguard_public_key"] == public_key(plan.user.private_key)
    assert plan.user.private_key not in repr(found.deployments)
    text = wg_quick(plan)
    assert f"PrivateKey = {plan.user.private_key}" in text
    assert f"Endpoint = {plan.member(1).endpoint}" in text


def test_ports_that_a_node_has_given_out_are_not_chosen() -> None:
    candidates = {1: Candidate(1, "198.51.100.21", frozenset(range(1024, 2000)))}
    found = compose.compose(spec({"a": {"node": 1}}), 7, candidates, pick=min)
    assert network(found.deployments[1])["wireguard_listen_port"] == 2000


def test_an_update_keeps_keys_ports_addresses_and_versions_of_what_it_does_not_touch() -> None:
    first = composed(spec({"a": {"node": 1}, "b": {"node": 1}}))
    old: dict[str, Any] = {
        "old": {plan.name: plan for plan in first.networks},
        "earlier": dict(first.deployments),
        "addresses": first.addresses,
    }
    same = composed(spec({"a": {"node": 1}, "b": {"node": 1}}), **old)
    assert not compose.is_changed(same.deployments[1], first.deployments[1])
    grown = composed(spec({"b": {"node": 1, "cpu": 2}, "a": {"node": 1}, "c": {"node": 1}}), **old).deployments[1]
    assert grown.version == 1
    assert {one.name: one.version for one in grown.workloads} == {"net": 0, "a": 0, "b": 1, "c": 1}
    assert network(grown) == network(first.deployments[1])


def test_a_fixed_address_that_lies_in_anothers_subnet_is_refused() -> None:
    with pytest.raises(SubnetConflict):
        composed(spec({"a": {"node": 1, "ip": "10.20.7.2"}, "b": {"node": 2, "ip": "10.20.7.3"}}))


def test_references_to_addresses_are_filled_in() -> None:
    found = composed(spec({"a": {"node": 1, "env": {"PEER": "http://${b.ip}/"}}, "b": {"node": 2}}))
    machine = next(one for one in found.deployments[1].workloads if one.type == "zmachine")
    assert machine.data["env"] == {"PEER": f"http://{found.addresses['b']}/"}


def test_the_contract_says_where_the_document_lies_and_never_more_than_the_chain_takes() -> None:
    pull = {"url": "http://hub/deployments/" + "a" * 64, "sha256": "a" * 64}
    short, long = compose.contract_data("demo", pull), compose.contract_data("d" * 250, pull)
    assert json.loads(short)["pull"] == json.loads(long)["pull"] == pull
    assert json.loads(short)["projectName"] == "vm/demo"
    assert len(long.encode()) <= compose.DATA_LIMIT


@pytest.mark.parametrize(
    ("addresses", "found"),
    [
        (["10.0.0.1/8", "192.168.1.2/24", "185.69.166.10/24"], "185.69.166.10"),
        (["fe80::1/64", "fd00::1/64", "2a10:b600::1/64"], "2a10:b600::1"),
        (["127.0.0.1/8", "172.20.1.1/16", "224.0.0.1"], ""),
        ([], ""),
    ],
)
def test_only_addresses_that_others_can_dial_are_endpoints(addresses: list[str], found: str) -> None:
    assert reachable(addresses) == found


@given(st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=8), st.booleans())
def test_subnets_addresses_and_ports_never_collide(nodes: list[int], access: bool) -> None:
    wanted = spec({f"m{index}": {"node": node} for index, node in enumerate(nodes)}, access)
    try:
        found = composed(wanted)
    except NoAccessNode:
        assert set(nodes) == {3}
        return
    (plan,) = found.networks
    subnets = [member.subnet for member in plan.members] + ([plan.user.subnet] if plan.user else [])
    assert len(set(subnets)) == len(subnets)
    assert len(set(found.addresses.values())) == len(nodes)
    assert all(_is_known(plan, peer.public_key) for node in {*nodes} for peer in peers(plan, node))


def _is_known(plan: NetworkPlan, key: str) -> bool:
    privates = [member.private_key for member in plan.members] + ([plan.user.private_key] if plan.user else [])
    return key in {public_key(private) for private in privates}


def test_a_machine_is_in_the_mycelium_overlay_by_its_networks_key_which_an_update_keeps() -> None:
    wanted = spec({"a": {"node": 1, "mycelium": True}, "b": {"node": 2}})
    found = composed(wanted)
    networks = {node: network(one) for node, one in found.deployments.items()}
    assert "mycelium" not in networks[2]
    key = networks[1]["mycelium"]["hex_key"]
    assert len(bytes.fromhex(key)) == 32
    machine = next(w.data for w in found.deployments[1].workloads if w.type == "zmachine")
    assert machine["network"]["mycelium"]["network"] == machine["network"]["interfaces"][0]["network"]
    assert len(bytes.fromhex(machine["network"]["mycelium"]["hex_seed"])) == 6
    again = composed(wanted, old={plan.name: plan for plan in found.networks})
    assert network(again.deployments[1])["mycelium"]["hex_key"] == key


def test_a_machine_is_in_the_planetary_network_when_the_file_says_so() -> None:
    found = composed(spec({"a": {"node": 1, "planetary": True}, "b": {"node": 1}}))
    machines = {one.name: one.data for one in found.deployments[1].workloads if one.type == "zmachine"}
    assert {name: data["network"]["planetary"] for name, data in machines.items()} == {"a": True, "b": False}
