"""The program behind a mount: `python -S .../serve.py IMPORT-PATH FOLDER CACHE POINT SOURCE POLICY FILL READY`.

It is run as a file and without `site`, and told where to import from: that halves the time until a mount is there.
"""

import sys


def start(words: list[str]) -> int:
    """Import what serving takes, and serve."""
    sys.path[:1] = words[0].split(":")
    from pathlib import Path

    from zos.flistd.fuse.server import Wanted, main

    folder, cache, point, source, policy, fill, ready = words[1:]
    return main(Wanted(Path(folder), Path(cache), point, source, policy, int(fill), ready))


if __name__ == "__main__":
    sys.exit(start(sys.argv[1:]))
