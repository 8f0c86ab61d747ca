"""Folders that are handed over to their user: what a former release left to root becomes his, and nothing else."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from zos.runtime import data, users
from zos.runtime.folders import hand_over

HIM = 71009


def owner(path: Path) -> int:
    return path.lstat().st_uid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_left_in_a_folder_becomes_his_and_links_lead_nowhere(tmp_path: Path):
    mine, outside = tmp_path / "rmb", tmp_path / "outside"
    (mine / "ledger").mkdir(parents=True)
    (mine / "ledger/one.json").write_text("{}")
    outside.mkdir()
    (outside / "secret").write_text("root's")
    (mine / "link").symlink_to(outside)
    (mine / "ledger/link").symlink_to(outside / "secret")
    os.link(outside / "secret", mine / "other-name")
    (mine / "foreign").write_text("")
    os.chown(mine / "foreign", 4711, 4711)
    # As after a crash half-way: some of it was done.
    os.chown(mine / "ledger", HIM, HIM)
    for _ in range(2):
        hand_over(mine, HIM, HIM, 0o2710)
        his = (mine, mine / "ledger", mine / "ledger/one.json", mine / "link", mine / "ledger/link")
        assert {owner(path) for path in his} == {HIM}
        assert {owner(path) for path in (outside, outside / "secret", mine / "other-name")} == {0}
        assert owner(mine / "foreign") == 4711
        assert mine.stat().st_mode & 0o7777 == 0o2710


def test_the_names_for_people_are_those_of_the_numbers():
    text = (data.folder("systemd") / "zos.sysusers.conf").read_text()
    named = dict(re.findall(r"^[ug] zos-(\w+) (\d+)", text, re.MULTILINE))
    assert named == {
        name.lower(): str(id) for name, id in vars(users).items() if name.isupper() and isinstance(id, int)
    }
    assert not set(users.GUESTS) & {int(id) for id in named.values()}
