"""Runs one daemon as core-0 does, with its user and what its unit may keep: `python unit.py NAME RUN-DIR STATE-DIR`."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from zos.core0.units import UNITS
from zos.core0.zygote import confine, order
from zos.runtime.folders import hand_over

if __name__ == "__main__":
    name, run_dir, state_dir = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    (unit,) = (unit for unit in UNITS if unit.name == name)
    for folder in (run_dir, state_dir):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)
        hand_over(folder / name, unit.id, unit.id, 0o711)
    confine(order(unit, run_dir, state_dir))
    sys.argv = [f"zos-{name}"]
    runpy.run_module(f"zos.{name}", run_name="__main__", alter_sys=True)
