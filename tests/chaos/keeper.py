"""What guests keep: the program in them that writes and reads back, and what its lines on the console prove. Pure but
for the flist.

A file counts once it was synced and said to be `wrote`. After every boot, and now and then, a guest lists what it has:
whatever counted must be there, with its hash.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from zos import hub
from zos.cli.client.demo import BUSYBOX

FLIST = "chaos/keeper.fl"
SIZE = 16384
KEPT = 60
APPLETS = "sh cat dd sha256sum sync sleep rm ls mkdir echo cut head mv"
PROGRAM = f"""\
#!/bin/sh
# Lists what is kept in each folder of KEEP, then writes a file every few seconds and lists again now and then.
boot=$(cut -c1-8 /proc/sys/kernel/random/boot_id)
list() {{
  for folder in $KEEP; do
    for file in "$folder"/*.kept; do
      [ -e "$file" ] && echo "keep: have $folder ${{file##*/}} $(sha256sum < "$file" | cut -d' ' -f1)"
    done
    echo "keep: listed $folder"
  done
}}
list
sleep 1
list
number=0
while :; do
  for folder in $KEEP; do
    name=$boot-$number.kept
    dd if=/dev/urandom of="$folder/new" bs={SIZE} count=1 conv=fsync 2> /dev/null &&
      hash=$(sha256sum < "$folder/new" | cut -d' ' -f1) &&
      mv "$folder/new" "$folder/$name" && sync "$folder" && echo "keep: wrote $folder $name $hash"
    for old in $(ls -tr "$folder"/*.kept | head -n -{KEPT}); do
      echo "keep: removes $folder ${{old##*/}}"
      rm "$old"
    done
  done
  number=$((number + 1))
  [ $((number % 20)) = 0 ] && list
  sleep 2
done
"""
LINE = re.compile(r"keep: (wrote|have|listed|removes) (/\S+)(?: (\S+\.kept))?(?: ([0-9a-f]{64}))?\s*$")


def publish(root: Path, url: str) -> str:
    """Put the guest on the hub at `url` whose folder is `root`; returns the flist's URL."""
    out = root / FLIST
    if not out.exists():
        with tempfile.TemporaryDirectory(prefix="zos-chaos-") as folder:
            tree = Path(folder)
            for name in ("bin", "sbin", "etc", "dev", "proc", "sys", "tmp", "root", "run"):
                (tree / name).mkdir()
            shutil.copy2(BUSYBOX, tree / "bin" / "busybox")
            for applet in APPLETS.split():
                (tree / "bin" / applet).symlink_to("busybox")
            (tree / "sbin" / "keeper").write_text(PROGRAM)
            (tree / "sbin" / "keeper").chmod(0o755)
            hub.build(tree, out, root=root, url=url)
    return f"{url}/{FLIST}"


@dataclass
class _Folder:
    counts: dict[str, str] = field(default_factory=dict)
    """Name to hash of what was synced."""
    seen: dict[str, str] = field(default_factory=dict)
    """What the list that goes on has shown."""
    missing: set[str] = field(default_factory=set)
    """What the last list did not show: a torn line of a console is no lost file, two are."""


class Keeping:
    """What one machine's console proves."""

    def __init__(self, machine: str) -> None:
        self.machine = machine
        self.violations: list[str] = []
        self.verified = 0
        """Bytes that were read back and are as they were written."""
        self.lists = 0
        self._folders: dict[str, _Folder] = defaultdict(_Folder)
        self._rest = ""

    @property
    def written(self) -> int:
        """How many files the guests synced and said so."""
        return sum(len(folder.counts) for folder in self._folders.values())

    def hear(self, text: str) -> None:
        """More of its console."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            found = LINE.search(line)
            if found:
                self._take(*found.groups(default=""))

    def _take(self, word: str, place: str, name: str, hash: str) -> None:
        folder = self._folders[place]
        if word == "wrote" and hash:
            folder.counts[name] = hash
        elif word == "removes":
            folder.counts.pop(name, None)
        elif word == "have" and hash:
            folder.seen[name] = hash
        elif word == "listed":
            self._compare(place, folder)

    def _compare(self, place: str, folder: _Folder) -> None:
        self.lists += 1
        missing = set()
        for name, hash in folder.counts.items():
            if name not in folder.seen:
                missing.add(name)
            elif folder.seen[name] != hash:
                self.violations.append(f"{self.machine}: {place}/{name} is not what was written")
            else:
                self.verified += SIZE
        lost = sorted(missing & folder.missing)
        if lost:
            self.violations.append(f"{self.machine}: {place} has lost {len(lost)} synced files, {lost[0]} first")
            for name in lost:
                del folder.counts[name]
        folder.missing, folder.seen = missing - set(lost), {}
