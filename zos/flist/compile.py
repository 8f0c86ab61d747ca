"""Turns an untrusted flist, a `.fl` or 0-fs' archive, into what a mount needs: a checked index, and what is to know.

Run as a program (`python -m zos.flist.compile`), with limits on memory and time, since SQLite meets a hostile file
here: whatever goes wrong, goes wrong in this process.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import stat
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zos.errors import ZosError
from zos.flist import confined, index, inside, startup
from zos.flist.cache import BlockCache
from zos.flist.errors import FlistBroken
from zos.flist.fl import Flist, read
from zos.flist.index import Index
from zos.flist.info import INDEX, INFO, Info
from zos.flist.layout import Route
from zos.flist.policy import StorePolicy
from zos.flist.source import Source
from zos.flist.store import DEFAULT, Stores
from zos.flist.unpack import is_archive
from zos.runtime import linux, privileges, walls

REFUSED = 65
"""Exit status when the flist is refused (sysexits' EX_DATAERR); standard output says why."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a checked flist says beside its tree."""

    routes: tuple[Route, ...]
    blocks: bool
    """Whether it has any."""
    size: int
    """Of all files together."""
    hidden: int = 0
    """Names that are not shown (`fl.Flist.hidden`)."""

    def to_json(self) -> dict[str, Any]:
        """What the parsing process hands to the one that asked for it."""
        return {
            "routes": [[one.start, one.end, one.url] for one in self.routes],
            "blocks": self.blocks,
            "size": self.size,
            "hidden": self.hidden,
        }

    @staticmethod
    def of_json(said: dict[str, Any], name: str) -> Parsed:
        """What the parser of an untrusted file returns is untrusted as well."""
        try:
            routes = tuple(Route(int(start), int(end), str(url)) for start, end, url in said["routes"])
            return Parsed(routes, bool(said["blocks"]), int(said["size"]), int(said["hidden"]))
        except (KeyError, TypeError, ValueError) as err:
            raise FlistBroken(flist=name, problem=f"reading it failed: {err}") from None


def write_durably(path: Path, pieces: Iterable[bytes]) -> None:
    """A file that is complete or not there."""
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def describe(tree: Index, parsed: Parsed, source: Source, name: str) -> Info:
    """What a checked tree holds; links are followed as if the flist were the root."""
    image, image_size = "", 0
    if tree.lookup(1, b"image.raw"):
        number = inside.regular(tree, b"/image.raw")
        if not number:
            raise FlistBroken(flist=name, problem="/image.raw leads to no file inside the flist")
        image, image_size = _path(tree, number, name), tree.node(number).size
        if not image_size:
            raise FlistBroken(flist=name, problem="/image.raw is empty")
    begin, detail = _startup(tree, source)
    if parsed.hidden:
        detail += f"{'; ' if detail else ''}{parsed.hidden} files are not shown: others before them have the same names"
    kernel, initrd = (inside.regular(tree, path) for path in (b"/boot/vmlinuz", b"/boot/initrd.img"))
    return Info(
        entrypoint=begin.entrypoint,
        env=begin.env,
        image=image,
        image_size=image_size,
        kernel=_path(tree, kernel, name) if kernel else "",
        initrd=_path(tree, initrd, name) if initrd else "",
        nodes=tree.nodes,
        size=parsed.size,
        routes=parsed.routes,
        detail=detail,
    )


def _path(tree: Index, number: int, name: str) -> str:
    try:
        return inside.path_of(tree, number)
    except UnicodeDecodeError as err:
        problem = f"what it boots from has a name that is no UTF-8: {err.object!r}; give it another one"
        raise FlistBroken(flist=name, problem=problem) from None


def _startup(tree: Index, source: Source) -> tuple[startup.Startup, str]:
    number = inside.regular(tree, b"/.startup.toml")
    if not number:
        return startup.Startup(), ""
    node = tree.node(number)
    if node.size > startup.MAX_STARTUP:
        return startup.Startup(), f"/.startup.toml is not read: it has {node.size} bytes"
    data = b"".join(source.read(tree.ref(node, block)) for block in range(node.count))
    try:
        return startup.parse(data), ""
    except (ValueError, RecursionError) as err:
        return startup.Startup(), f"/.startup.toml is not read: {err}"


def check_routes(parsed: Parsed, policy: StorePolicy) -> None:
    """A flist whose blocks can never be fetched from here is refused at once."""
    refusal: ZosError | None = None
    for route in parsed.routes:
        try:
            policy.check_store(route.url)
        except ZosError as err:
            refusal = err
        else:
            return
    if parsed.blocks:
        raise refusal or FlistBroken(flist="it", problem="no route says where its blocks are")


def read_any(path: Path, out: Path, store: str) -> Flist:
    """Read and check a flist of either kind, whatever it is called; drafts are written to the folder `out`."""
    if not is_archive(path):
        return read(path)
    # Here, since it takes a library that `.fl` does not need.
    from zos.flist.archive import convert

    converted = out / ".converted.fl"
    try:
        convert(path, converted, store)
        return read(converted)
    finally:
        converted.unlink(missing_ok=True)


def parse(path: Path, out: Path, store: str) -> Parsed:
    """Read and check a flist, and write its `index` into the folder `out`; `store` as in `archive.convert`."""
    flist = read_any(path, out, store)
    write_durably(out / INDEX, index.build(flist.nodes, flist.blocks, flist.targets, flist.xattrs))
    size = sum(node.size for node in flist.nodes if stat.S_ISREG(node.mode))
    return Parsed(flist.routes, bool(flist.blocks), size, flist.hidden)


def parse_confined(path: Path, out: Path, store: str) -> Parsed:
    """The same in a process that can do nothing else."""
    if is_archive(path):
        # Before the fork, which sees no files of ours.
        importlib.import_module("zos.flist.archive").prepare()
    said = confined.run(lambda file: parse(file, file.parent, store).to_json(), path, out, INDEX, path.name)
    return Parsed.of_json(said, path.name)


def compile_flist(
    path: Path,
    out: Path,
    cache: Path,
    policy: StorePolicy,
    *,
    name: str = "",
    store: str = DEFAULT,
    parse: Callable[[Path, Path, str], Parsed] = parse,
) -> Info:
    """Write `index` and `info.json` of a flist into the folder `out`."""
    parsed = parse(path, out, store)
    check_routes(parsed, policy)
    with Index(out / INDEX) as tree, contextlib.closing(Stores(parsed.routes, policy)) as stores:
        info = describe(tree, parsed, Source(BlockCache(cache), stores, patience=8.0), name or path.name)
    write_durably(out / INFO, [info.to_json().encode()])
    return info


def parse_and_drop(path: Path, out: Path, store: str) -> Parsed:
    """Parse it confined, then give up every capability: what is left to do is files of our own, and the network."""
    try:
        return parse_confined(path, out, store)
    finally:
        if privileges.holds("sys_admin"):
            # What is imported from here on may lie where only root gets to.
            walls.reach_program()
        privileges.drop_all()
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        # Nor is it a window for others without capabilities into what flistd sees.
        linux.prctl(linux.PR_SET_DUMPABLE, 0)


def main(argv: list[str]) -> int:
    """Compiles one flist in a process of its own; answers the exit code."""
    flist, out, cache = map(Path, argv[:3])
    rules, name, store = argv[3:]
    confined.limit()
    try:
        policy = StorePolicy.from_json(rules)
        compile_flist(flist, out, cache, policy, name=name, store=store, parse=parse_and_drop)
    except ZosError as err:
        sys.stdout.write(json.dumps({"reason": err.reason, "facts": err.facts}))
        return REFUSED
    except MemoryError:
        facts = {"flist": name, "problem": "it takes too much memory"}
        sys.stdout.write(json.dumps({"reason": FlistBroken.reason, "facts": facts}))
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
