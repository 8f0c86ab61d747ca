"""The program behind mounts: `python -S .../serve.py IMPORT-PATH nursery SOCKET ROOM`.

It is run as a file and without `site`, and told where to import from: that halves the time until it is ready. A server
that it forks calls itself `... serve.py IMPORT-PATH FOLDER CACHE POINT SOURCE POLICY FILL READY` (`fuse/nursery.py`).
"""

import sys


def start(words: list[str]) -> int:
    """Import what serving takes, and fork a server for each request."""
    sys.path[:1] = words[0].split(":")
    from zos.flistd.fuse.nursery import main

    return main(words[2], sys.orig_argv[:4])


if __name__ == "__main__":
    sys.exit(start(sys.argv[1:]))
