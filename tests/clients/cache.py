"""Where the client libraries of these tests are installed: a cache beside the repository's other caches."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Cache:
    """Folders that are made once and whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def keep(self, folder: Path, make: Callable[[Path], None]) -> Path:
        """The folder; made now if it is not there yet."""
        if not folder.exists():
            fresh = folder.with_name(f"{folder.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            make(fresh)
            fresh.rename(folder)
        return folder


CACHE = Cache(ROOT / ".cache" / "clients")


def installed(command: Sequence[str], folder: Path) -> None:
    """Run an installer; its last words are in the failure."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-3000:] or done.stdout[-3000:]
