"""Whom a limit counts for."""

from __future__ import annotations

import pytest

from zos.runtime.quota import network_of


@pytest.mark.parametrize(
    ("remote", "key"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:0:1::7", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff::9", "2001:db8:0:1::/64"),
        ("2001:db8:0:2::7", "2001:db8:0:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, ""),
    ],
)
def test_a_client_is_its_address_or_its_network_of_ipv6(remote: str | None, key: str) -> None:
    assert network_of(remote) == key
