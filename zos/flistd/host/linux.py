"""The real host: FUSE servers, overlays and binds of this machine's mount namespace."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from zos.flist.index import Index
from zos.flist.info import INDEX
from zos.flist.layout import ROOT
from zos.flist.policy import StorePolicy
from zos.flist.store import DEFAULT
from zos.flistd import model
from zos.flistd.api.errors import MountFailed
from zos.flistd.fuse.readers import Trouble
from zos.flistd.fuse.server import Wanted
from zos.flistd.host import servers
from zos.flistd.host.contract import Content
from zos.flistd.host.library import Library
from zos.flistd.host.nursery import Nursery
from zos.flistd.model import ObservedMounts
from zos.flistd.steps import DropMount, DropTree, MountTree, PutMount, Step
from zos.runtime import linux, threads
from zos.runtime.threads import Threads

MOUNT = 30.0
"""Seconds for one mount or unmount; it takes milliseconds unless a file server below it hangs."""
LOOK = 10.0
"""Seconds to look what is there."""
TIDY = 600.0
"""Seconds for a walk over the cache."""

_FLAGS = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOATIME
# A rename of a folder is then as everywhere; only we and the kernel write below `upper`, so redirects can be believed.
_OVERLAY = "redirect_dir=on,metacopy=off,index=off,xino=auto"


class LinuxHost:
    """This machine, or the namespaces that stand for one."""

    def __init__(
        self,
        mounts: Path,
        run_dir: Path,
        cache: Path,
        policy: StorePolicy,
        limit: int = 0,
        fill: int = 0,
        store: str = DEFAULT,
        cache_mounted: bool = False,
    ) -> None:
        self._mounts = mounts
        self._folder = run_dir / "flistd"
        self._policy = policy
        self._library = Library(cache, policy, limit, store, must_be_mounted=cache_mounted)
        self._fill = fill
        self._threads = Threads()
        self._watch = servers.Watch()
        self._nursery = Nursery(self._folder)
        self._serving: Mapping[str, int] = {}
        """As of the last look, mounted or not."""

    def on_change(self, callback: Callable[[], None]) -> None:
        self._watch.callback = callback

    def close(self) -> None:
        self._watch.close()
        self._nursery.close()
        self._library.close()

    async def obtain(self, url: str, hash: str, tenant: str) -> Content:
        await self._require_cache()
        return await self._library.obtain(url, hash, tenant)

    async def _require_cache(self) -> None:
        await self._threads.run("cache", f"reach the cache {self._library.cache}", self._library.prepare, LOOK)

    async def known(self, flists: Collection[str]) -> Mapping[str, Content]:
        def look() -> dict[str, Content]:
            found = {flist: self._library.known(flist) for flist in flists}
            return {flist: content for flist, content in found.items() if content is not None}

        return await self._threads.run("known", "look which flists are here", look, LOOK)

    async def tidy(self, wanted: Mapping[str, Collection[str]]) -> None:
        await threads.run("tidy the cache", lambda: self._library.tidy(wanted), TIDY)

    async def is_cramped(self) -> bool:
        return await self._threads.run("cramped", "see how full the cache is", self._library.is_cramped, LOOK)

    async def observe(self) -> ObservedMounts:
        def look() -> tuple[tuple[linux.Mounted, ...], Mapping[str, int]]:
            serving = servers.serving()
            servers.cut_logs(self._folder, serving)
            return linux.mounts(), serving

        # In a thread: the kernel lets readers of /proc wait for a process that hangs.
        mounted, serving = await self._threads.run("observe", "look what is mounted", look, LOOK)
        self._serving = serving
        observed = model.observed_mounts(mounted, self._mounts, frozenset(serving))
        ours = {tree.source for tree in observed.trees}
        self._watch.over({source: pid for source, pid in serving.items() if source in ours})
        return observed

    async def troubles(self) -> Mapping[str, str]:
        return await self._threads.run("troubles", "ask what cannot be read", lambda: Trouble.told(self._folder), LOOK)

    async def apply(self, step: Step) -> None:
        try:
            match step:
                case MountTree():
                    await self._serve(step)
                case DropTree(source):
                    await self._in_thread(source, step, lambda: _clear(self._tree(source)))
                case PutMount(id):
                    await self._in_thread(id, step, lambda: self._put(step))
                case DropMount(id):
                    await self._in_thread(id, step, lambda: _clear(self._mounts / id))
        except OSError as err:
            raise MountFailed(action=step.describe(), problem=err.strerror or err) from err

    async def _in_thread(self, place: str, step: Step, work: Callable[[], None]) -> None:
        await self._threads.run(place, step.describe(), work, MOUNT)

    def _tree(self, source: str) -> Path:
        return self._mounts / model.TREES / source

    async def _serve(self, step: MountTree) -> None:
        await self._require_cache()
        if step.source in self._serving:
            await servers.end(step.source)
        room = await self._threads.run("cache", f"measure the cache {self._library.cache}", self._library.room, LOOK)
        point = self._tree(step.source)
        point.mkdir(parents=True, exist_ok=True, mode=0o700)
        wanted = Wanted(
            self._library.folder(step.flist),
            self._library.cache,
            str(point),
            step.source,
            self._policy.to_json(),
            min(self._fill, room // 4),
            str(self._folder / f"{step.source}.ready"),
        )
        try:
            await servers.start(self._nursery, wanted, self._folder / f"{step.flist}.log")
        except servers.Torn:
            await self._in_thread(step.source, step, lambda: self._library.forget_index(step.flist))
            raise MountFailed(action=step.describe(), problem="its index was torn and is made again") from None

    def _put(self, step: PutMount) -> None:
        point, tree = self._mounts / step.id, self._tree(step.source)
        if not any(seen.point == tree for seen in linux.mounts()):
            raise OSError(errno.ENOENT, f"{tree} is not mounted")
        point.mkdir(parents=True, exist_ok=True, mode=0o755)
        if step.upper is None:
            linux.mount(tree, point, flags=linux.MS_BIND)
            return
        rw, work = self._layers(step)
        options = f"lowerdir={tree},upperdir={rw},workdir={work},{_OVERLAY}"
        linux.mount(step.source, point, model.OVERLAY, _FLAGS, options)

    def _layers(self, step: PutMount) -> tuple[Path, Path]:
        """The folders of a writable layer; the new root looks like the flist's."""
        assert step.upper is not None
        if not step.upper.is_dir():
            raise OSError(errno.ENOENT, f"{step.upper} is not there")
        rw, work = step.upper / model.RW, step.upper / model.WORK
        try:
            rw.mkdir(mode=0o700)
        except FileExistsError:
            pass
        else:
            with Index(self._library.folder(step.source.partition("-")[0]) / INDEX) as index:
                root = index.node(ROOT)
            os.chown(rw, root.uid, root.gid)
            rw.chmod(stat.S_IMODE(root.mode))
        work.mkdir(mode=0o700, exist_ok=True)
        for folder in (rw, work):
            if not stat.S_ISDIR(folder.lstat().st_mode):
                raise OSError(errno.ENOTDIR, f"{folder} is no folder")
        return rw, work


def _clear(point: Path) -> None:
    """Unmount all that is at a place, and the place itself."""
    for _ in range(64):
        try:
            linux.unmount(point)
        except OSError as err:
            if err.errno not in (errno.EINVAL, errno.ENOENT):
                raise
            break
    with contextlib.suppress(FileNotFoundError):
        point.rmdir()
