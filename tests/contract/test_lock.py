"""requirements.lock and pyproject.toml say the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
RUN = [*PROJECT["project"]["dependencies"], *(one for extra in EXTRAS.values() for one in extra)]
BUILD = PROJECT["dependency-groups"]["build"]


@pytest.mark.parametrize(("file", "wanted"), [("requirements.lock", RUN), ("requirements-build.lock", BUILD)])
def test_every_dependency_is_locked_with_a_hash(file: str, wanted: list[str]) -> None:
    text = (ROOT / file).read_text()
    locked = dict(re.findall(r"^([a-z0-9-]+)(==\S+.*\n    --hash=sha256:)", text, re.MULTILINE))
    pins = [re.fullmatch(r"([a-z0-9-]+)(?:\[[a-z]+\])?(==.+)", one) for one in wanted if not one.startswith("zos[")]
    stale = [one[0] for one in pins if one and not locked.get(one[1], "").startswith(one[2])]
    assert all(pins), "each dependency is pinned by =="
    assert stale == [], "make lock"
    assert "//" not in text, "a lock file names no host"
