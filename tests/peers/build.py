"""Builds what is in the folder of peers; nothing is written into their checkouts."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

DRIVERS = Path(__file__).parent / "drivers"
DEADLINE = 1800.0


class CannotBuild(Exception):
    """Why a program is not there."""


def commit(checkout: Path) -> str:
    """What is checked out."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short=10", "HEAD"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout.strip() or "unknown"


def go_driver(name: str, module: Path, out: Path) -> Path:
    """A driver of ours, compiled as if it lay in a folder of their module."""
    if not (module / "go.mod").is_file():
        raise CannotBuild(f"{module} is not there")
    overlay, program = out / f"{name}.overlay.json", out / name
    overlay.write_text(json.dumps({"Replace": {str(module / f"zos_{name}/main.go"): str(DRIVERS / f"{name}.go")}}))
    command = ["go", "build", "-overlay", str(overlay), "-o", str(program), f"./zos_{name}"]
    try:
        done = subprocess.run(
            command,
            cwd=module,
            env=os.environ | {"GOWORK": "off", "GOFLAGS": "-mod=readonly"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        raise CannotBuild(str(err)) from None
    if done.returncode:
        raise CannotBuild(done.stdout[-2000:])
    return program
