"""Derivations, by the vectors that every implementation of the grid shares."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from zos.model import names, units


@pytest.mark.parametrize(
    ("twin", "network", "expected"),
    [
        (26, "net1", "ba1tzBDmM8QzW"),
        (1, "net", "Vp6mnP5Nd8BVD"),
        (26, "mynet", "B3gDSpMoHJXdF"),
        (12345, "my_network", "MJBioxZ5WN3xJ"),
    ],
)
def test_network_ids(twin: int, network: str, expected: str):
    assert names.net_id(twin, network) == expected


@pytest.mark.parametrize(
    ("workload", "label", "expected"),
    [
        ("26-1234-vm1", "net1", "SYxwmaLJnyM3j"),
        ("26-1234-ip1", "pub", "Fp7sGZUWVv8RP"),
        ("26-1234-vm1", "ygg", "AA9j9eBFDtpjD"),
        ("26-1234-vm1", "mycelium", "FMM8nnDHtrTXn"),
        ("26-1234-vm1", "mynet", "AbE3zNtFw21Fr"),
        ("26-1234-vm1", "pub", "LGuiLd27LmXmK"),
    ],
)
def test_unique_ids(workload: str, label: str, expected: str):
    assert names.unique(workload, label) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "d6:1d:8c:d9:8f:00"),
        (b"\x42", "9e:5e:d6:78:fe:57"),
        ("A34YUGenHKyhjDMAUKZe4cVDtJM2wQ4n4XRkfGUUEYdy", "8a:d3:36:10:7e:e9"),
        ("AbE3zNtFw21Fr", "ee:5b:b5:ff:9b:4b"),
        ("ygg:AA9j9eBFDtpjD", "22:5b:7a:01:cd:70"),
        ("mycelium:FMM8nnDHtrTXn", "d2:e0:f7:d6:32:8d"),
    ],
)
def test_hardware_addresses(text: str | bytes, expected: str):
    assert names.mac(text) == expected


@given(st.binary(max_size=64))
def test_a_hardware_address_is_local_and_unicast(seed: bytes):
    assert int(names.mac(seed)[:2], 16) & 0x03 == 0x02


def test_addresses_in_a_network():
    assert str(names.ula("B3gDSpMoHJXdF", "10.20.2.1")) == "fd42:3367:4453:2::1"
    assert str(names.ula("B3gDSpMoHJXdF", "10.20.2.17")) == "fd42:3367:4453:2::11"
    assert str(names.wg_address("10.3.1.0/24")) == "100.64.3.1"
    assert str(names.wg_address("10.20.2.5/24")) == "100.64.20.2"


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.from_regex(r"\A[a-zA-Z0-9_]{1,36}\Z"))
def test_a_workload_id_tells_what_it_was_made_of(twin: int, contract: int, name: str):
    assert names.split_workload_id(names.workload_id(twin, contract, name)) == (twin, contract, name)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.from_regex(r"\A[a-zA-Z0-9_]{1,36}\Z"))
def test_a_machines_root_is_of_whoever_has_the_machine(twin: int, contract: int, name: str):
    machine = names.workload_id(twin, contract, name)
    assert names.owner_of(machine) == names.owner_of(names.root_id(machine)) == str(twin)
    assert names.origin(machine) == names.origin(names.root_id(machine)) == (twin, contract, name)


def test_what_is_of_no_workload_has_an_owner_of_its_own():
    strays = [
        "data",
        "data-1",
        "rootfs-",
        "rootfs-vm",
        "rootfs-26-vm",
        "26",
        "26-7",
        "26-x-vm",
        "-26-7-vm",
        "x-26-7-vm",
    ]
    assert not any(map(names.origin, strays))
    assert len({names.owner_of(id) for id in [*strays, "26-7-vm"]}) == len(strays) + 1


def test_sizes_for_people():
    assert [units.show(size) for size in (0, 1023, units.KiB(1.5), units.GiB(1), units.TiB(2))] == [
        "0 B", "1023 B", "1.5 KiB", "1 GiB", "2 TiB",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seed", "address", "subnet"),
    [
        (b"0" * 32, "203:45bf:8a48:8361:c04c:1321:ea32:50ad", "303:45bf:8a48:8361::/64"),
        (bytes(range(32)), "206:2f7c:2006:18f7:a0f1:4791:738c:5a1f", "306:2f7c:2006:18f7::/64"),
    ],
)
def test_planetary_addresses_of_a_key(seed: bytes, address: str, subnet: str):
    public = SigningKey(seed).verify_key.encode()
    assert str(names.planetary_address(public)) == address
    assert str(names.planetary_subnet(public)) == subnet


@pytest.mark.parametrize(
    ("subnet", "hardware", "address"),
    [
        ("301:8d90:378f:a93::/64", b"0000", "301:8d90:378f:a93:c600:1d5b:2ac3:df31"),
        ("301:8d90:378f:a93::/64", b"bbbb", "301:8d90:378f:a93:9b73:d9aa:7cec:73be"),
        ("306:2f7c:2006:18f7::/64", "22:5b:7a:01:cd:70", "306:2f7c:2006:18f7:9434:8c5a:8a20:97d0"),
    ],
)
def test_planetary_addresses_of_machines(subnet: str, hardware: str | bytes, address: str):
    assert str(names.planetary_guest(IPv6Network(subnet), hardware)) == address


@given(st.binary(min_size=32, max_size=32))
def test_a_planetary_address_and_its_subnet_share_their_bits(seed: bytes):
    public = SigningKey(seed).verify_key.encode()
    address, subnet = names.planetary_address(public), names.planetary_subnet(public)
    assert address in IPv6Network("200::/8")
    assert subnet.subnet_of(IPv6Network("300::/8"))
    assert IPv6Address(bytes((3,)) + address.packed[1:]) in subnet
