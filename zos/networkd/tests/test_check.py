"""What is refused, and the canonical form of what is accepted."""

from __future__ import annotations

import base64
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.errors import Status, ZosError
from zos.model import names
from zos.networkd import check
from zos.networkd.api import (
    AddressOutsideSubnet,
    AddressReserved,
    AddressTaken,
    BadNetwork,
    BadTap,
    NetId,
    Network,
    Peer,
    Place,
    PortTaken,
    SubnetOutside,
    Tap,
    TapId,
)
from zos.networkd.api.check import canonical, public_key
from zos.networkd.model import NetworkRecord
from zos.networkd.places.network import PLACE

ID = NetId("B3gDSpMoHJXdF")
KEY = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(range(1, 33))).decode()
THIRD = base64.b64encode(bytes(range(2, 34))).decode()
PEER = Peer("10.20.3.0/24", OTHER, "198.51.100.22:4000", ("10.20.3.0/24", "100.64.20.3/32"))
NETWORK = Network(ID, 26, "mynet", "10.20.0.0/16", "10.20.2.0/24", KEY, 4000, (PEER,))
TAP = Tap(TapId("AbE3zNtFw21Fr"), Place.NETWORK, "ee:5b:b5:ff:9b:4b", ID, ip="10.20.2.5")


def changed(**fields: object) -> Network:
    return dataclasses.replace(NETWORK, **fields)  # type: ignore[arg-type]


def with_peer(**fields: object) -> Network:
    return changed(peers=(dataclasses.replace(PEER, **fields),))  # type: ignore[arg-type]


def test_a_public_key_is_the_one_that_wireguard_computes():
    # RFC 7748, section 6.1: Alice's keys.
    private = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    public = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    assert public_key(base64.b64encode(private).decode()) == base64.b64encode(public).decode()


def test_a_canonical_network_stays_as_it_is():
    assert canonical(NETWORK) == NETWORK


def test_host_bits_are_masked_since_clients_write_them():
    asked = changed(ip_range="10.20.5.0/16", subnet="10.20.2.5/24")
    assert canonical(asked) == NETWORK


def test_peers_are_brought_to_one_form():
    asked = with_peer(allowed_ips=("10.20.3.7/24", "10.20.3.0/24", "100.64.20.3/32"))
    assert canonical(asked) == NETWORK
    six = with_peer(endpoint="[2001:DB8:0::1]:04000")
    assert canonical(six).peers[0].endpoint == "[2001:db8::1]:4000"


def test_a_prefix_that_two_peers_claim_goes_to_the_last_as_in_wireguard():
    second = Peer("10.20.4.0/24", THIRD, "", ("10.20.3.0/24", "10.20.4.0/24"))
    first, last = canonical(changed(peers=(PEER, second))).peers
    assert first.allowed_ips == ("100.64.20.3/32",)
    assert last.allowed_ips == ("10.20.3.0/24", "10.20.4.0/24")


@pytest.mark.parametrize(
    ("asked", "refusal", "says"),
    [
        (changed(id="../../etc"), BadNetwork, "id is not 13"),
        (changed(id="B3gDSpMoHJXdl"), BadNetwork, "base58"),
        (changed(subnet="10.21.2.0/24"), SubnetOutside, "10.21.2.0/24 is not inside 10.20.0.0/16"),
        (changed(subnet="10.20.2.0"), BadNetwork, "needs a prefix"),
        (changed(subnet="10.20.2.0/31"), BadNetwork, "needs a prefix"),
        (changed(subnet="fd00::/64"), BadNetwork, "is not IPv4"),
        (changed(ip_range="ten.twenty/16"), BadNetwork, "is not a subnet"),
        (changed(ip_range="100.64.0.0/16", subnet="100.64.1.0/24"), BadNetwork, "not for user networks"),
        (changed(ip_range="127.0.0.0/8", subnet="127.0.1.0/24"), BadNetwork, "not for user networks"),
        (changed(private_key="secret"), BadNetwork, "wireguard_private_key is not a WireGuard key"),
        (changed(private_key=""), BadNetwork, "is not a WireGuard key"),
        (changed(listen_port=0), BadNetwork, "0 is not a port"),
        (changed(listen_port=65536), BadNetwork, "65536 is not a port"),
        *(
            (changed(listen_port=port), PortTaken, f"UDP port {port} is taken by the node itself")
            for port in (53, 68, 546, 1023, 8082, 9001, 9650, 9651, 9943)
        ),
        *(
            (with_peer(endpoint=f"{host}:4000"), BadNetwork, "is not the address of a host")
            for host in ("0.0.0.0", "0.1.2.3", "127.0.0.9", "169.254.1.1", "224.0.0.1", "239.1.1.1", "240.0.0.1")
        ),
        *(
            (with_peer(endpoint=f"{host}:4000"), BadNetwork, "is not the address of a host")
            for host in (
                "255.255.255.255",
                "[::]",
                "[::1]",
                "[fe80::1]",
                "[ff02::1]",
                "[::ffff:192.0.2.1]",
                "[::7f00:1]",
            )
        ),
        (with_peer(public_key="x"), BadNetwork, r"peers\[0\].wireguard_public_key"),
        (with_peer(public_key=public_key(KEY)), BadNetwork, "this node's own key"),
        (changed(peers=(PEER, PEER)), BadNetwork, r"peers\[1\].wireguard_public_key is there twice"),
        (with_peer(allowed_ips=()), BadNetwork, r"peers\[0\].allowed_ips is empty"),
        (with_peer(allowed_ips=("all",)), BadNetwork, "'all' is not a subnet"),
        (with_peer(endpoint="node.example:4000"), BadNetwork, "is not address:port"),
        (with_peer(endpoint="198.51.100.22"), BadNetwork, "is not address:port"),
        (with_peer(endpoint="198.51.100.22:0"), BadNetwork, "is not address:port"),
        (with_peer(endpoint="198.51.100.22:70000"), BadNetwork, "is not address:port"),
        (with_peer(endpoint="1.2.3.4:5\nListenPort=1"), BadNetwork, "is not address:port"),
        (with_peer(subnet=""), BadNetwork, r"peers\[0\].subnet"),
    ],
)
def test_what_cannot_be_a_network_is_refused_by_field(asked: Network, refusal: type[ZosError], says: str):
    with pytest.raises(refusal, match=says):
        canonical(asked)


def test_a_refused_key_is_not_repeated_in_the_error():
    with pytest.raises(BadNetwork) as caught:
        canonical(changed(private_key="c2VjcmV0"))
    assert "c2VjcmV0" not in caught.value.explain()
    assert KEY not in repr(NETWORK)


def test_a_port_that_another_network_has_is_refused():
    for twin, user in ((1, "another network"), (26, "your network `mynet`")):
        other = NetworkRecord(changed(id=NetId("Vp6mnP5Nd8BVD"), twin=twin), 1)
        with pytest.raises(PortTaken, match=f"4000 is taken by {user}"):
            check.admit(NETWORK, [other], [])
    check.admit(NETWORK, [NetworkRecord(NETWORK, 0)], [])


def test_a_twin_has_so_many_networks_and_those_that_are_there_stay():
    def some(count: int, twin: int) -> list[NetworkRecord]:
        made = (changed(id=NetId(names.net_id(twin, str(one))), twin=twin, listen_port=0) for one in range(count))
        return [NetworkRecord(one, slot) for slot, one in enumerate(made)]

    check.admit(NETWORK, some(49, 26), [])
    with pytest.raises(ZosError, match="mynet: this node has 50 networks of twin 26, and takes no more") as caught:
        check.admit(NETWORK, some(50, 26), [])
    assert caught.value.status is Status.RESOURCE_EXHAUSTED
    check.admit(NETWORK, [NetworkRecord(NETWORK, 50), *some(50, 26)], [])


def test_a_subnet_does_not_move_away_from_under_a_machine():
    with pytest.raises(AddressOutsideSubnet):
        check.admit(changed(subnet="10.20.9.0/24"), [], [TAP])


def test_exit_addresses_are_handed_out_lowest_first():
    assert check.free_slot([]) == 0
    assert check.free_slot([NetworkRecord(NETWORK, 0), NetworkRecord(NETWORK, 2)]) == 1


@pytest.mark.parametrize(
    ("ip", "refusal", "says"),
    [
        ("10.20.2.1", AddressReserved, "10.20.2.1 is the gateway of 10.20.2.0/24"),
        ("10.20.2.0", AddressReserved, "network address"),
        ("10.20.2.255", AddressReserved, "broadcast address"),
        ("10.20.3.5", AddressOutsideSubnet, "not inside 10.20.2.0/24"),
    ],
)
def test_an_address_that_is_no_machines_is_refused(ip: str, refusal: type[ZosError], says: str):
    with pytest.raises(refusal, match=says):
        PLACE.admit(dataclasses.replace(TAP, ip=ip), NETWORK, [])


def test_an_address_has_one_machine():
    other = dataclasses.replace(TAP, id=TapId("LGuiLd27LmXmK"))
    with pytest.raises(AddressTaken, match=r"the address 10\.20\.2\.5 is taken by vm1 of contract 7"):
        PLACE.admit(other, NETWORK, [dataclasses.replace(TAP, owner="vm1 of contract 7")])
    with pytest.raises(AddressTaken, match="hardware address"):
        PLACE.admit(dataclasses.replace(other, ip="10.20.2.6"), NETWORK, [TAP])
    PLACE.admit(TAP, NETWORK, [TAP])
    PLACE.admit(other, NETWORK, [dataclasses.replace(TAP, network=NetId("Vp6mnP5Nd8BVD"))])


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": b"123456"},
        {"network": "", "place": Place.PLANETARY},
        {"id": "x"},
        {"ip": "10.20.2"},
        {"ip": "fd00::2"},
        {"mac": "ee:5b:b5:ff:9b"},
        {"mac": "01:00:5e:00:00:01"},
    ],
)
def test_what_cannot_be_a_tap_is_refused(fields: dict[str, object]):
    with pytest.raises(BadTap):
        check.canonical_tap(dataclasses.replace(TAP, **fields))  # type: ignore[arg-type]


@given(st.text(), st.text(), st.text(), st.integers(), st.text(), st.text())
def test_any_text_is_accepted_or_refused_but_never_a_bug(
    ip_range: str, subnet: str, key: str, port: int, endpoint: str, allowed: str
):
    peer = Peer(subnet, OTHER, endpoint, (allowed,))
    for asked in (
        changed(ip_range=ip_range),
        changed(subnet=subnet),
        changed(private_key=key),
        changed(listen_port=port),
        changed(peers=(peer,)),
        changed(id=key),
    ):
        try:
            accepted = canonical(asked)
        except ZosError:
            continue
        assert canonical(accepted) == accepted


@given(octets=st.tuples(st.integers(1, 223), *[st.integers(0, 255)] * 3), length=st.integers(8, 30))
def test_an_accepted_network_is_canonical_and_inside_its_range(octets: tuple[int, ...], length: int):
    text = f"{'.'.join(map(str, octets))}/{length}"
    try:
        accepted = canonical(changed(ip_range=text, subnet=text))
    except BadNetwork:
        return
    assert canonical(accepted) == accepted
