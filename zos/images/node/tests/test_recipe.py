"""What the recipe keeps, which modules and programs it means, and that the image's own recipe is sound."""

from pathlib import Path

import pytest

from zos.core0.units import UNITS
from zos.images.node import archive, cache, elf, packages, recipe, tree
from zos.images.node.archive import Source
from zos.images.node.recipe import CannotBuild, Rules
from zos.runtime import data

TEXTS = data.folder("images") / "node"
DEPENDENCIES = {
    "kernel/fs/erofs/erofs.ko.xz": ("kernel/fs/netfs/netfs.ko.xz", "kernel/lib/crc.ko.xz"),
    "kernel/fs/netfs/netfs.ko.xz": ("kernel/lib/crc.ko.xz",),
    "kernel/lib/crc.ko.xz": (),
    "kernel/sound/beep.ko.xz": (),
}


def test_the_last_rule_that_matches_decides() -> None:
    rules = Rules.parse("# all but two\nusr/*\n!usr/share/*\nusr/share/zoneinfo/UTC\n")
    assert rules.keep("usr/bin/ip")
    assert rules.keep("usr/share/zoneinfo/UTC")
    assert not rules.keep("usr/share/doc/ip/copyright")
    assert not rules.keep("var/lib/dpkg/status")
    assert rules.leave_out("usr/share/doc/ip/copyright")
    assert not rules.leave_out("var/lib/dpkg/status")


def test_modules_come_with_what_they_need() -> None:
    assert recipe.modules("fs/erofs/*", DEPENDENCIES) == tuple(sorted(DEPENDENCIES)[:3])
    with pytest.raises(CannotBuild, match="no module fs/xfs"):
        recipe.modules("fs/xfs/*", DEPENDENCIES)


def test_a_module_is_loaded_after_what_it_needs() -> None:
    order = [recipe.module_name(path) for path in recipe.load_order(["erofs"], DEPENDENCIES)]
    assert order == ["crc", "netfs", "erofs"]


def test_sizes_add_up() -> None:
    rows = recipe.sizes({"usr/lib/modules/6/a.ko": 5, "opt/zos/bin/zos": 7, "etc/passwd": 1, "usr/lib/libc.so": 2})
    assert next(iter(rows.items())) == ("zos and its Python packages", 7)
    assert sum(rows.values()) == 15


def test_no_program_of_the_image_lets_anybody_in() -> None:
    doors = {"agetty", "getty", "login", "su", "sudo", "sshd", "sulogin", "bash", "passwd", "runuser", "apt", "dpkg"}
    assert not doors & recipe.programs((TEXTS / "programs").read_text()).keys()


def test_whoever_needs_a_program_is_a_daemon_or_the_base() -> None:
    known = {unit.name for unit in UNITS} | {"systemd", "zos"}
    assert set(recipe.programs((TEXTS / "programs").read_text()).values()) <= known


@pytest.mark.parametrize("unit", ["getty@.service", "debug-shell.service", "rescue.service", "emergency.service"])
def test_no_unit_of_the_image_offers_a_shell(unit: str) -> None:
    assert not Rules.parse((TEXTS / "keep").read_text()).keep(f"usr/lib/systemd/system/{unit}")


def test_the_image_that_is_signed_takes_no_units_from_the_firmware() -> None:
    assert "systemd.import_credentials=no" in (TEXTS / "cmdline").read_text().split()


def test_packages_come_from_the_mirrors_of_this_machine() -> None:
    listed = (
        "http://mirror/debian/|bookworm|main\nhttp://mirror/debian/|bookworm|contrib\n"
        "http://mirror/debian/|bookworm-updates|main\nhttp://other/security|bookworm-security|main\n"
        "https://tools.example|nodistro|main\n"
    )
    assert archive.sources(listed, "bookworm") == (
        Source("http://mirror/debian/", "trixie"),
        Source("http://mirror/debian/", "trixie-updates"),
        Source("http://other/security", "trixie-security"),
    )
    with pytest.raises(CannotBuild, match="no archive of Debian sid"):
        archive.sources(listed, "sid")


def test_the_time_of_an_image_is_the_archives() -> None:
    signed = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nDate: Sat, 21 Nov 2026 09:15:44 UTC\n"
    assert archive.date(signed) == archive.date("Origin: Debian\nDate: Sat, 21 Nov 2026 09:15:44 UTC\n") == 1795252544
    with pytest.raises(CannotBuild, match="no date"):
        archive.date("<html>")


def test_the_lock_of_the_image_is_a_part_of_the_lock() -> None:
    root = data.folder("images").parent
    lines = [line for line in (root / packages.LOCK).read_text().splitlines() if "==" in line and line[0] != " "]
    every = (root / "requirements.lock").read_text()
    assert packages.COMPILED in packages.names("\n".join(lines))
    assert [line for line in lines if line.split(" ")[0] not in every] == []


def test_a_programs_libraries_are_read_from_it() -> None:
    assert "libc.so.6" in elf.needed(Path("/bin/ls").read_bytes())
    assert elf.needed(b"#!/bin/sh\n") == ()


def _root(folder: Path) -> Path:
    for name in ("usr/bin", "usr/lib/systemd/system", "usr/lib64", "usr/lib/x86_64-linux-gnu"):
        (folder / name).mkdir(parents=True)
    program = Path("/bin/ls").read_bytes()
    (folder / "usr/bin/ls").write_bytes(program)
    for name in elf.needed(program):
        (folder / "usr/lib/x86_64-linux-gnu" / name).touch()
    (folder / "usr/lib/x86_64-linux-gnu/libother.so.1").touch()
    (folder / "usr/bin/dir").symlink_to("ls")
    (folder / "usr/lib/systemd/system/getty.service").touch()
    (folder / "usr/lib/systemd/system/wanted.service").symlink_to("getty.service")
    return folder


def test_a_program_comes_with_its_libraries_and_no_others(tmp_path: Path) -> None:
    selection = tree.Selection(_root(tmp_path / "root"))
    selection.add_programs(["dir"])
    selection.add_libraries(tmp_path / "nothing")
    assert {"usr/bin/dir", "usr/bin/ls", "usr/lib/x86_64-linux-gnu/libc.so.6"} <= selection.kept
    assert "usr/lib/x86_64-linux-gnu/libother.so.1" not in selection.kept


def test_a_library_that_is_nowhere_is_told(tmp_path: Path) -> None:
    root = _root(tmp_path / "root")
    (root / "usr/lib/x86_64-linux-gnu/libc.so.6").unlink()
    selection = tree.Selection(root)
    selection.add_programs(["ls"])
    with pytest.raises(CannotBuild, match=r"libc\.so\.6 \(for"):
        selection.add_libraries(tmp_path / "nothing")


def test_a_link_does_not_bring_back_what_is_left_out(tmp_path: Path) -> None:
    selection = tree.Selection(_root(tmp_path / "root"))
    selection.add_by(Rules.parse("usr/lib/systemd/system/*\n!*getty*\n"))
    assert selection.kept == set()


def test_no_file_of_the_image_changes_its_user(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "usr/bin").mkdir(parents=True)
    target.mkdir()
    (source / "usr/bin/mount").write_text("x")
    (source / "usr/bin/mount").chmod(0o4755)
    tree.copy(source, target, ["usr/bin/mount"])
    assert (target / "usr/bin/mount").stat().st_mode & 0o7777 == 0o755


def test_nobody_has_a_shell_or_a_password(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\nuser:x:1:1::/:/bin/sh\n")
    (tmp_path / "etc/shadow-").write_text("root:secret::\n")
    tree.lock_out(tmp_path)
    assert {line.split(":")[6] for line in (tmp_path / "etc/passwd").read_text().splitlines()} == {tree.NOLOGIN}
    assert {line.split(":")[1] for line in (tmp_path / "etc/shadow").read_text().splitlines()} == {"!*"}
    assert not (tmp_path / "etc/shadow-").exists()


async def test_a_stage_that_was_cut_off_begins_anew_and_one_that_is_whole_stays(tmp_path: Path) -> None:
    made: list[str] = []
    stages = cache.Cache(tmp_path, made.append)

    async def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise CannotBuild(problem="power")

    async def make(folder: Path) -> None:
        assert not list(folder.iterdir())
        (folder / "whole").touch()

    with pytest.raises(CannotBuild):
        await stages.stage("tree", ["1"], fail)
    first = await stages.stage("tree", ["1"], make)
    assert await stages.stage("tree", ["1"], fail) == first
    second = await stages.stage("tree", ["2"], make)
    assert (second / "whole").exists()
    assert not first.exists()
