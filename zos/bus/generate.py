"""Generates the code of the APIs from `zos/<daemon>/api/<daemon>.proto`, from the repository's root.

Run as `python -m zos.bus.generate [DAEMON ...]`; generated files are committed and a test compares them.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def protos(root: Path = ROOT, names: list[str] | None = None) -> list[Path]:
    """The definitions of the APIs, relative to the root."""
    found = sorted(path.relative_to(root) for path in root.glob("zos/**/*.proto"))
    return [path for path in found if not names or path.stem in names]


def generate(out: Path, sources: list[Path], root: Path = ROOT) -> int:
    """Write the generated modules below `out`; returns protoc's exit status."""
    from grpc_tools import protoc

    well_known = Path(protoc.__file__).parent / "_proto"
    argv = ["protoc", f"-I{root}", f"-I{well_known}"]
    argv += [f"--python_out={out}", f"--grpc_python_out={out}", f"--pyi_out={out}"]
    status = int(protoc.main([*argv, *map(str, sources)]))
    for source in sources:
        if "\nservice " not in (root / source).read_text():
            (out / source.with_name(source.stem + "_pb2_grpc.py")).unlink(missing_ok=True)
        for suffix in ("_pb2_grpc.py", "_pb2.pyi"):
            made = out / source.with_name(source.stem + suffix)
            if made.exists():
                made.write_text("# mypy: ignore-errors\n" + made.read_text())
    return status


if __name__ == "__main__":
    sys.exit(generate(ROOT, protos(names=sys.argv[1:])))
