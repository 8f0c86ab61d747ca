"""Random faults in a whole lab with tenants at work: `make chaos SECONDS=1800 SEED=1`.

Prints what was done, and what of it broke a promise; exits with 1 when anything did.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1800.0, help="for which faults go on")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--skip", type=int, default=0, help="rounds of the seed: a long run in parts")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.extend(str(folder) for folder in (HERE.parent, HERE.parent / "lab", HERE.parents[1]))
    if not options.alone:
        from suite import ALONE, NAMESPACES

        # Namespaces of its own: what others do on this machine is no leak of ours, and nothing outlives us.
        again = [sys.executable, str(HERE), *sys.argv[1:], "--alone"]
        argv = [*NAMESPACES, "--net", "sh", "-c", ALONE, "chaos", *again]
        os.execvp(argv[0], argv)
    from story import Chaos

    with tempfile.TemporaryDirectory(prefix="zos-chaos-") as folder:
        return 0 if asyncio.run(Chaos(options.seed, options.seconds, options.skip, Path(folder)).run()) else 1


if __name__ == "__main__":
    sys.exit(main())
