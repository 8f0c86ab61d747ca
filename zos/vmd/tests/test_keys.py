"""SSH keys in a text of a user."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from zos.model.units import MiB
from zos.vmd import seed
from zos.vmd.api.keys import split_keys
from zos.vmd.api.types import Machine, MachineDisk, MachineId, MachineKind, Share

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJmTx"
OTHER = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlz"
MACHINE = Machine(MachineId("1-2-vm"), "vm", MachineKind.CONTAINER, 1, MiB(256), Path("/r"))


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (f'restrict,command="a,b" {KEY} me', [f'restrict,command="a,b" {KEY} me']),
        (f"{KEY} a,{OTHER} b", [f"{KEY} a", f"{OTHER} b"]),
        (f"{KEY} a, {OTHER}\n{KEY} a", [f"{KEY} a", OTHER]),
        (f"{KEY} me,and,you", [f"{KEY} me,and,you"]),
        (f'{KEY},no-pty,from="10.0.0.0/8,fd00::/8" {OTHER}', [KEY, f'no-pty,from="10.0.0.0/8,fd00::/8" {OTHER}']),
        (f'command="echo \\", {KEY}" {OTHER}', [f'command="echo \\", {KEY}" {OTHER}']),
        (" ,\n,", []),
    ],
)
def test_a_comma_parts_keys_and_not_the_options_of_one(text: str, keys: list[str]) -> None:
    assert list(split_keys(text)) == keys
    assert seed.keys_of(dataclasses.replace(MACHINE, env={"SSH_KEY": text})) == tuple(keys)


@pytest.mark.parametrize(
    "text",
    [
        '"' + '\\"' * 250_000,
        f"{KEY}," * 10_000,
        ',"' * 250_000,
        "ssh-a " * 80_000,
        f'"{KEY}",' * 10_000,
        f"{KEY} a,b" * 9_000,
    ],
)
def test_a_long_text_is_read_in_one_pass(text: str) -> None:
    began = time.process_time()
    split_keys(text)
    assert time.process_time() - began < 2, "what grows with the square of the length takes minutes"


def test_a_parent_is_mounted_before_what_is_below_it_whatever_the_order() -> None:
    machine = dataclasses.replace(
        MACHINE,
        disks=(MachineDisk(Path("/d/1"), "/data/db/log"), MachineDisk(Path("/d/2"), "/data")),
        shares=(Share("v", Path("/v"), "/data/db"), Share("w", Path("/w"), "/a")),
    )
    lines = [line.split() for line in seed.script(machine).splitlines()]
    mounted = [line[2] for line in lines if line[0] in ("disk", "share")]
    assert mounted == ["/a", "/data", "/data/db", "/data/db/log"]
