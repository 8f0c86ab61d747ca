"""The grid's own programs, unchanged, against ours: what they find is compared with `expected.toml`.

    python tests/peers/run.py FOLDER [PART…]

FOLDER has checkouts named as their repositories (docs/peers.md says which, and at which commits). What is not there is
passed over, and said. Ends with 1 when a result is not the expected one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import build
import gridtypes
import rmb

EXPECTED = Path(__file__).parent / "expected.toml"


def run_gridtypes(peers: Path, out: Path) -> Mapping[str, str]:
    """Random deployments against the Go types."""
    return dict(gridtypes.run(build.go_driver("gridtypes", peers / "tfgrid-sdk-go/grid-client", out)))


def run_rmb(peers: Path, out: Path) -> Mapping[str, str]:
    """The Go SDK on our relay."""
    return rmb.run(build.go_driver("rmb", peers / "tfgrid-sdk-go/rmb-sdk-go", out))


PARTS: Mapping[str, tuple[str, Callable[[Path, Path], Mapping[str, str]]]] = {
    "gridtypes": ("tfgrid-sdk-go", run_gridtypes),
    "rmb": ("tfgrid-sdk-go", run_rmb),
}


def differences(part: str, found: Mapping[str, str], expected: Mapping[str, Any]) -> list[str]:
    """What is not as the table says, a line each."""
    table: Mapping[str, Mapping[str, str]] = expected.get(part, {})
    lines = []
    for name in sorted({*found, *table}):
        said, wanted = found.get(name), table.get(name, {"result": "not in the table"})["result"]
        got = "not run" if said is None else "pass" if said == "pass" else "fail"
        if got != wanted:
            lines.append(f"{part}: {name}: expected {wanted}, is {got}: {said}")
    return lines


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="checkouts of the peers")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)} (all)")
    wanted = parser.parse_args()
    if unknown := set(wanted.parts) - PARTS.keys():
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    expected, bad = tomllib.loads(EXPECTED.read_text()), 0
    with tempfile.TemporaryDirectory() as out:
        for part in wanted.parts or PARTS:
            repository, run = PARTS[part]
            checkout = wanted.folder / repository
            try:
                found = run(wanted.folder.resolve(), Path(out))
            except build.CannotBuild as err:
                print(f"{part}: passed over: {err}")
                continue
            lines = differences(part, found, expected)
            passed = sum(said == "pass" for said in found.values())
            print(f"{part} ({repository} at {build.commit(checkout)}): {passed} of {len(found)} pass")
            print("".join(f"  {line}\n" for line in lines), end="")
            bad += len(lines)
    print("as expected" if not bad else f"{bad} results are not as the table says")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
