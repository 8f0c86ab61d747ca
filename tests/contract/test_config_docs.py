"""docs/config says what the daemons read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from zos.runtime.config import NodeConfig
from zos.runtime.configdocs import daemons, key_docs, pages

DOCS = Path(__file__).resolve().parents[2] / "docs" / "config"


def test_the_committed_pages_are_the_generated_ones() -> None:
    assert {path.name: path.read_text() for path in DOCS.iterdir()} == pages(), "make docs"


def test_every_key_has_a_meaning() -> None:
    configs = [NodeConfig, *(daemon.config for daemon in daemons())]
    keys = [(cls, field.name) for cls in configs for field in dataclasses.fields(cls)]
    bare = [f"{cls.__module__}: {name}" for cls, name in keys if not key_docs(cls).get(name)]
    assert bare == []


def test_a_page_for_each_daemon_of_a_node() -> None:
    units = {
        "storaged",
        "networkd",
        "flistd",
        "vmd",
        "provisiond",
        "capacityd",
        "chain",
        "rmb",
        "mycelium",
        "zdbd",
        "core0",
    }
    assert {daemon.name for daemon in daemons()} == units
