import hashlib
from ipaddress import IPv6Address, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from zos.model import mycelium


def test_the_address_of_a_known_public_key():
    public = bytes.fromhex("a47c1d6f2a15b2c670d3a88fbe0aeb301ced12f7bcb4c8e3aa877b20f8559c02")
    assert IPv6Address(mycelium.address(public)) == IPv6Address("548:c783:d7ce:74a3:9ba1:a0cb:ae21:338d")


def test_the_address_of_a_node_with_a_known_seed():
    secret = hashlib.sha512(bytes(range(32))).digest()[:32]
    assert IPv6Address(mycelium.address(mycelium.public_key(secret))) == IPv6Address(
        "4a4:459a:71c1:3cb0:717:5626:f0c8:d354"
    )


def test_a_machine_lives_in_its_networks_subnet():
    net = IPv6Network("548:c783:d7ce:74a3::/64")
    assert mycelium.gateway(net) == IPv6Address("548:c783:d7ce:74a3::1")
    assert mycelium.machine(net, bytes.fromhex("0123456789ab")) == IPv6Address("548:c783:d7ce:74a3:ff0f:123:4567:89ab")


@given(st.binary(min_size=32, max_size=32))
def test_every_address_is_in_the_overlay_and_its_subnet_is_owned_by_its_key(public: bytes):
    own = mycelium.address(public)
    assert IPv6Address(own) in mycelium.GLOBAL
    assert IPv6Address(own) in mycelium.subnet(public)
