"""Puts the image's files together: what the recipe keeps of the packages, `/opt/zos`, and our own configuration."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from zos.images.node import elf, recipe
from zos.images.node.recipe import CannotBuild, Rules

LIBRARIES = ("usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/systemd", "usr/lib64")
LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
EMPTY = (
    *("dev", "proc", "sys", "run", "mnt", "root", "etc/zos", "var/lib/zos", "var/cache", "var/log", "var/tmp"),
    # libvirtd's walls leave it these to write to.
    *("etc/libvirt/hooks", "var/lib/libvirt", "var/cache/libvirt", "var/log/libvirt/qemu"),
)
TEXTS = {
    # systemd makes one at each boot: nothing of a node is known by it.
    "etc/machine-id": "",
    "etc/hostname": "zos\n",
    "etc/hosts": "127.0.0.1 localhost zos\n::1 localhost\n",
    # DHCP writes it.
    "etc/resolv.conf": "",
    "etc/fstab": "",
    "etc/default/locale": "LANG=C.UTF-8\n",
}
UNITS = "usr/lib/systemd/system"
WANTED = ("zos.service", "zos-libvirtd.service", "zos-screen.service", "systemd-timesyncd.service")
NOLOGIN = "/usr/sbin/nologin"
NOBODYS = stat.S_ISUID | stat.S_ISGID
"""No file changes who its program is."""


class Selection:
    """The paths of an unpacked root that the image gets."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.files = {str(path.relative_to(root)) for path in _walk(root)}
        self.kept: set[str] = set()

    def add_by(self, rules: Rules) -> None:
        """Keep what the rules say, but no link to what they leave out."""
        wanted = [path for path in sorted(self.files) if rules.keep(path)]
        links = {path: self._target(path) for path in wanted if (self._root / path).is_symlink()}
        self.add(path for path in wanted if path not in links or not rules.leave_out(links[path]))

    def add(self, paths: Iterable[str]) -> None:
        """Keep these, and what links among them lead to."""
        for path in paths:
            while path in self.files and path not in self.kept:
                self.kept.add(path)
                if not (self._root / path).is_symlink():
                    break
                path = self._target(path)

    def _target(self, path: str) -> str:
        link = os.readlink(self._root / path)
        base = "" if link.startswith("/") else os.path.dirname(path)
        target = os.path.normpath(os.path.join(base, link.lstrip("/") if not base else link))
        first, slash, rest = target.partition("/")
        return f"{LINKS.get(first, first)}{slash}{rest}"

    def add_programs(self, names: Iterable[str]) -> None:
        """Keep the programs of these names; all must be there."""
        wanted = set(names)
        found = [f"{folder}/{name}" for name in wanted for folder in ("usr/bin", "usr/sbin")]
        self.add(path for path in found if path in self.files)
        if missing := recipe.unnamed(self.kept, wanted):
            raise CannotBuild(problem=f"no package has the program {', '.join(missing)}")

    def add_libraries(self, others: Path) -> None:
        """Keep the libraries that kept files and those below another folder need, and those that these need."""
        brought = list(_walk(others))
        own = {path.name for path in brought}
        todo = [self._root / path for path in self.kept] + brought
        seen: set[str] = set()
        missing: set[str] = set()
        while todo:
            path = todo.pop()
            if path.is_symlink() or not path.is_file():
                continue
            for name in elf.needed(path.read_bytes()):
                if name in seen:
                    continue
                seen.add(name)
                places = [place for folder in LIBRARIES if (place := f"{folder}/{name}") in self.files]
                if not places and name not in own:
                    missing.add(f"{name} (for {path.name})")
                before = set(self.kept)
                self.add(places)
                todo += [self._root / new for new in self.kept - before]
        if missing:
            raise CannotBuild(problem=f"no package has the library {', '.join(sorted(missing))}")


def _walk(root: Path) -> Iterator[Path]:
    """Files and links below a folder; links are not followed."""
    for folder, names, files in os.walk(root):
        for name in (*files, *(name for name in names if Path(folder, name).is_symlink())):
            yield Path(folder, name)


def select(root: Path, texts: Path, program: Path) -> tuple[Selection, str]:
    """What of a root is kept, and its kernel's release; `texts` is the recipe, `program` is to be `/opt/zos`."""
    selection = Selection(root)
    selection.add_by(Rules.parse((texts / "keep").read_text()))
    selection.add_programs(recipe.programs((texts / "programs").read_text()))
    selection.add_libraries(program)
    (release,) = [path.name for path in (root / "usr/lib/modules").iterdir()]
    home = f"usr/lib/modules/{release}"
    wanted = recipe.modules((texts / "modules").read_text(), dependencies(root, release))
    selection.add(f"{home}/{path}" for path in wanted)
    selection.add(f"{home}/{name}" for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"))
    return selection, release


def dependencies(root: Path, release: str) -> dict[str, tuple[str, ...]]:
    """modules.dep of a root: a module's path -> the paths of its dependencies."""
    text = (root / "usr/lib/modules" / release / "modules.dep").read_text()
    split = (line.partition(":") for line in text.splitlines())
    return {path: tuple(rest.split()) for path, colon, rest in split if colon}


def copy(source: Path, target: Path, paths: Iterable[str]) -> None:
    """Copy files and links with owners and modes, but no file that changes its user."""
    for path in sorted(paths):
        _folders(source, target, os.path.dirname(path))
        _copy(source / path, target / path)


def _copy(source: Path, target: Path) -> None:
    seen = source.lstat()
    if stat.S_ISLNK(seen.st_mode):
        target.unlink(missing_ok=True)
        target.symlink_to(os.readlink(source))
    else:
        shutil.copyfile(source, target)
        target.chmod(stat.S_IMODE(seen.st_mode) & ~NOBODYS)
    os.chown(target, seen.st_uid, seen.st_gid, follow_symlinks=False)


def _folders(source: Path, target: Path, path: str) -> None:
    if path and not (target / path).is_dir():
        _folders(source, target, os.path.dirname(path))
        (target / path).mkdir()
        seen = (source / path).stat()
        (target / path).chmod(stat.S_IMODE(seen.st_mode) & ~NOBODYS)
        os.chown(target / path, seen.st_uid, seen.st_gid)


def add(source: Path, target: Path) -> None:
    """Copy a whole folder into the image; what is copied is root's and for everybody to read."""
    for path in _walk(source):
        if "__pycache__" in path.parts:
            continue
        to = target / path.relative_to(source)
        to.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        _copy(path, to)
        os.chown(to, 0, 0, follow_symlinks=False)
        if not to.is_symlink():
            to.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def finish(target: Path) -> None:
    """What no package brings: empty folders, the names at the top, who is started, nobody who could log in."""
    for name, to in LINKS.items():
        (target / name).symlink_to(to)
    for name in (*EMPTY, "tmp"):
        (target / name).mkdir(parents=True, exist_ok=True)
    for name in ("tmp", "var/tmp"):
        (target / name).chmod(0o1777)
    (target / "root").chmod(0o700)
    (target / "var/run").symlink_to("/run")
    (target / "etc/os-release").unlink(missing_ok=True)
    (target / "etc/os-release").symlink_to("../usr/lib/os-release")
    for name, text in TEXTS.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(text)
    wants = target / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    for unit in WANTED:
        if not (target / UNITS / unit).exists():
            raise CannotBuild(problem=f"the image has no unit {unit}")
        (wants / unit).symlink_to(f"/{UNITS}/{unit}")
    (target / "etc/systemd/system/default.target").symlink_to(f"/{UNITS}/multi-user.target")
    # Ctrl-Alt-Del is a key as any other.
    (target / "etc/systemd/system/ctrl-alt-del.target").symlink_to("/dev/null")


def lock_out(target: Path) -> None:
    """Nobody has a shell or a password, root included."""
    users = target / "etc/passwd"
    lines = [line.split(":") for line in users.read_text().splitlines()]
    users.write_text("".join(":".join([*fields[:6], NOLOGIN]) + "\n" for fields in lines))
    shadow = target / "etc/shadow"
    shadow.write_text("".join(f"{fields[0]}:!*:::::::\n" for fields in lines))
    shadow.chmod(0o600)
    for backup in target.glob("etc/*-"):
        backup.unlink()


def measured(target: Path) -> dict[str, int]:
    """Bytes of each file below the image's root."""
    return {str(path.relative_to(target)): path.lstat().st_size for path in _walk(target)}
