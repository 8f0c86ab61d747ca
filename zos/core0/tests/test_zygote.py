import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zos.core0.units import UNITS

IMPORTED = """
import json, os, sys
from zos.core0 import zygote

pid, control = zygote.spawn(zygote.SHARED)
before = set(sys.modules)
from zos.core0 import daemon
names = {names!r}
for name in names:
    __import__(f"zos.{{name}}.daemon")
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from zos import primitives
from zos.fetch.aio import Fetcher
from zos.networkd import places
from zos.rmb import router
X25519PrivateKey.generate(), places.found(), router.find(), primitives.find()
print(json.dumps({{"new": sorted(set(sys.modules) - before), "threads": len(os.listdir("/proc/self/task"))}}))
"""

BROKEN = """
import sys
from zos.core0 import zygote

pid, control = zygote.spawn(["no_such_module", "broken_daemon", "zos.errors"])
print("zos.errors" in sys.modules and pid > 0)
"""


def ran(program: str, path: str = "") -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (path, *sys.path)))}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True, env=environ
    )


@pytest.mark.process
def test_a_forked_daemon_imports_nothing_that_its_siblings_have_not_and_the_parent_starts_no_thread():
    found = json.loads(ran(IMPORTED.format(names=[unit.name for unit in UNITS])).stdout)
    assert found == {"new": [], "threads": 1}


@pytest.mark.process
def test_a_daemon_that_cannot_be_imported_keeps_no_other_from_starting(tmp_path: Path):
    (tmp_path / "broken_daemon.py").write_text("raise RuntimeError('half an upgrade')")
    done = ran(BROKEN, str(tmp_path))
    assert done.stdout.strip() == "True"
    assert "broken_daemon is not shared between daemons: RuntimeError: half an upgrade" in done.stderr
