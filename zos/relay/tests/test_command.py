"""The relay's command line, and the relay as a process."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from zos.relay.command import BadOptions, Settings, add_options, settings


def read(*argv: str) -> Settings:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return settings(["ws://chain"], parser.parse_args(argv))


def test_what_is_said_is_what_is_meant() -> None:
    found = read(
        *("--listen", "[::1]:80", "--listen-tls", "192.0.2.1:443", "--cert", "c.pem", "--cert-key", "k.pem"),
        *("--domain", "relay.lab", "--limit", "100,4096"),
    )
    assert found == Settings(
        ("ws://chain",),
        ("::1", 80),
        ("192.0.2.1", 443),
        (Path("c.pem"), Path("k.pem")),
        "relay.lab",
        (100, 4096),
    )


def test_without_a_domain_twins_name_the_address() -> None:
    assert read("--listen", "192.0.2.1:80").domain == "192.0.2.1"


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["--listen", "8080"], "address:port"),
        (["--listen", "192.0.2.1:99999"], "address:port"),
        (["--listen-tls", "192.0.2.1:443"], "--cert"),
        (["--limit", "100"], "COUNT,BYTES"),
        (["--limit", "0,10"], "COUNT,BYTES"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(argv: list[str], problem: str) -> None:
    with pytest.raises(BadOptions, match=problem):
        read(*argv)
