"""Control groups: which trees a machine has, and what is written to them."""

from __future__ import annotations

from pathlib import Path

from zos.runtime import cgroup
from zos.runtime.cgroup import Limits, Trees
from zos.runtime.linux import Mounted

LIMITS = Limits(memory=1 << 30, pids=500, weight=2)
V1 = tuple(
    Mounted("0:1", Path(f"/sys/fs/cgroup/{name}"), "cgroup", "cgroup", f"rw,{name}")
    for name in ("memory", "pids", "cpu", "cpuset", "blkio")
)


def unified(folder: Path, controllers: str) -> Mounted:
    (folder / "cgroup.controllers").write_text(controllers)
    return Mounted("0:2", folder, "cgroup2", "cgroup2", "rw")


def test_a_machine_has_one_tree_or_one_for_each_controller_or_none(tmp_path: Path):
    none = cgroup.find(())
    assert (none.version, none.missing) == (0, cgroup.CONTROLLERS)
    first = cgroup.find(V1)
    assert (first.version, first.missing) == (1, ())
    assert first.roots["io"] == "/sys/fs/cgroup/blkio"
    # An empty tree of version 2 beside those of version 1 is none.
    assert cgroup.find((*V1, unified(tmp_path, "hugetlb\n"))).to_word() == first.to_word()
    second = cgroup.find((*V1, unified(tmp_path, "cpuset cpu io memory pids\n")))
    assert (second.version, second.missing) == (2, ())
    assert set(second.roots.values()) == {str(tmp_path)}
    assert cgroup.find((unified(tmp_path, "cpu memory\n"),)).missing == ("pids", "io")


def test_limits_are_written_and_written_again_and_processes_moved(tmp_path: Path):
    trees = Trees(2, dict.fromkeys(cgroup.CONTROLLERS, str(tmp_path)))
    (tmp_path / cgroup.PARENT / "one").mkdir(parents=True)
    (tmp_path / cgroup.PARENT / "one/io.weight").touch()
    for _ in range(2):
        cgroup.place(trees, "one", LIMITS, [7])
    group = tmp_path / cgroup.PARENT / "one"
    assert {path.name: path.read_text() for path in group.iterdir()} == {
        "memory.max": str(1 << 30),
        "pids.max": "500",
        "cpu.weight": "200",
        "io.weight": "200",
        "cgroup.procs": "7",
    }
    # Controllers are handed down to both levels, and not into the group itself.
    assert (tmp_path / "cgroup.subtree_control").exists()
    assert (tmp_path / cgroup.PARENT / "cgroup.subtree_control").exists()


def test_on_a_machine_without_controllers_nothing_is_written(tmp_path: Path):
    cgroup.place(Trees(0, {}), "one", LIMITS, [7])
    cgroup.sweep(Trees(0, {}))
    assert not list(tmp_path.iterdir())


def test_groups_that_nobody_is_in_are_removed(tmp_path: Path):
    for name in ("empty", "busy"):
        (tmp_path / cgroup.PARENT / name).mkdir(parents=True)
    (tmp_path / cgroup.PARENT / "busy/stands-for-a-process").touch()
    trees = Trees(1, {"memory": str(tmp_path)})
    cgroup.sweep(trees)
    assert [path.name for path in (tmp_path / cgroup.PARENT).iterdir()] == ["busy"]


def test_a_word_says_where_the_trees_are():
    for trees in (cgroup.find(()), cgroup.find(V1), Trees(2, {"memory": "/sys/fs/cgroup/a=b"})):
        again = Trees.from_word(trees.to_word())
        assert (again.version, again.roots) == (trees.version, trees.roots)
