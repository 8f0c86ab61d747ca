"""README's block "A deployment by hand", word for word, in the lab that the demo leaves."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from labs import NAME, addresses

from zos.lab.addresses import Addresses

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]
FIRST = "python3 -c 'import json, sys; print(json.load(sys.stdin)[0][\"contract\"])'"
README = (ROOT / "README.md").read_text()


def block(title: str) -> list[str]:
    """The lines of the first block below a title."""
    section = README.partition(f"## {title}\n")[2]
    found = re.search(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert found is not None
    return [line for line in found[1].splitlines() if line]


def test_a_newcomer_deploys_by_what_is_written(demo: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    spec = (ROOT / "examples/vm.yaml").read_text().replace(Addresses().hub_url, addresses().hub_url)
    (tmp_path / "examples/vm.yaml").write_text(spec)
    path = f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "ZOS_LAB": NAME, "ZOS_STATE": str(tmp_path / "state")}
    lines = ["set -e -o pipefail"]
    for line in block("A deployment by hand"):
        lines.append(line.replace("CONTRACT", f'"$(zos ps --json | {FIRST})"'))
        if line.startswith("zos ps"):
            lines.append("zos ps --json > ps.json")
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "ps.json").read_text())
    assert {(row["workload"], row["state"]) for row in rows} >= {("vm1", "ok"), ("vm2", "ok"), ("disk1", "ok")}
    assert "[Interface]" in (tmp_path / "wg0.conf").read_text()
    assert "zos undelete 1 " in done.stdout
