"""Which URLs and which addresses are let through."""

from __future__ import annotations

from pathlib import Path

import pytest

from zos.fetch import addresses, local
from zos.fetch.errors import FetchForbidden
from zos.fetch.policy import Policy, shown, target

CLOSED = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "172.31.0.1",
    "192.0.2.1",
    "192.168.1.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.11",
    "203.0.113.9",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:10.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::10.0.0.1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:a00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "fc00::1",
    "fd00::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
OPEN = ["1.1.1.1", "8.8.8.8", "2606:4700::1", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8", "200:dead::1", "400:beef::1"]


@pytest.mark.parametrize("address", CLOSED)
def test_what_is_not_public_is_refused_unless_its_name_or_network_is_allowed(address: str):
    with pytest.raises(FetchForbidden, match="not a public address"):
        Policy().judge("name.example", 80, address)
    Policy(("name.example",)).judge("Name.Example", 80, address)
    Policy(("0.0.0.0/0", "::/0")).judge("other.example", 80, address)


@pytest.mark.parametrize("address", OPEN)
def test_public_addresses_are_open(address: str):
    Policy().judge("name.example", 80, address)


def test_an_allowance_may_name_one_port():
    lab = Policy.of_urls(["http://198.51.100.11:8080/x", "https://hub.lan", "http://[fd00::1]/"])
    assert lab.allowed == ("198.51.100.11:8080", "hub.lan:443", "[fd00::1]:80")
    lab.judge("198.51.100.11", 8080, "198.51.100.11")
    lab.judge("hub.lan", 443, "10.0.0.1")
    lab.judge("fd00::1", 80, "fd00::1")
    for host, port, address in (
        ("198.51.100.11", 22, "198.51.100.11"),
        ("hub.lan", 80, "10.0.0.1"),
        ("fd00::1", 81, "fd00::1"),
        ("other.lan", 443, "10.0.0.1"),
    ):
        with pytest.raises(FetchForbidden):
            lab.judge(host, port, address)


def test_the_operator_allows_networks():
    Policy(("192.168.7.0/24",)).judge("x", 80, "192.168.7.9")
    Policy(("192.168.7.0/24:80",)).judge("x", 80, "192.168.7.9")
    Policy(("2001:db8::/32",)).judge("x", 80, "2001:db8::7")
    for allowed, address in (
        ("192.168.7.0/24", "192.168.8.9"),
        ("192.168.7.0/24:81", "192.168.7.9"),
        ("2001:db8::/32", "::1"),
    ):
        with pytest.raises(FetchForbidden):
            Policy((allowed,)).judge("x", 80, address)


def test_our_own_networks_are_read_from_the_kernel(tmp_path: Path):
    v4, v6 = tmp_path / "route", tmp_path / "ipv6_route"
    v4.write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010A2D08\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t000A2D08\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        "eth0\t00007F09\t010A2D08\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    )
    zero = "0" * 32
    v6.write_text(
        f"2a010000000000010000000000000000 40 {zero} 00 {zero} 00000400 00000001 00000000 00000001 eth0\n"
        f"04000000000000000000000000000000 07 {zero} 00 {zero} 00000400 00000001 00000000 00000001 my\n"
        f"{zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n"
    )
    for address, expected in {
        "8.45.10.77": True,
        "8.45.11.1": False,
        "9.127.0.1": False,
        "2a01:0:0:1::9": True,
        "2a01:0:0:2::9": False,
        "400::9": False,
    }.items():
        assert local.is_neighbour(addresses.parse(address), v4, v6) is expected, address


def test_this_machines_own_addresses_are_known():
    assert local.is_own(addresses.parse("127.0.0.1"))
    assert not local.is_own(addresses.parse("8.8.8.8"))


@pytest.mark.parametrize(
    "url",
    [
        "dir:///etc",
        "file:///etc/passwd",
        "zdb:///run/x.sock",
        "ftp://example.org/",
        "http:///x",
        "http://[::1",
        "http://a:b:c/",
        "http://a/\r\nX: y",
        "http://a/ b",
        "http://a b/",
        "http://h/ü",
        "",
    ],
)
def test_only_http_leads_out(url: str):
    with pytest.raises(FetchForbidden):
        target(url)


def test_a_url_is_taken_apart():
    assert target("https://Hub.Example/x?y=1#z").path == "/x?y=1"
    assert target("https://Hub.Example").authority == "hub.example"
    assert target("http://[2001:db8::1]:8080/").authority == "[2001:db8::1]:8080"
    assert target("http://①②⑦.⓪.⓪.①/").host == "127.0.0.1"
    assert "secret" not in shown("http://user:secret@host/path")
