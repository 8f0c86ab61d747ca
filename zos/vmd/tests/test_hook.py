"""libvirt's hook: whose processes are a machine's, and which limits its domain names."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from zos.model.capacity import machine_memory
from zos.model.units import GiB
from zos.runtime.cgroup import PARENT, Trees
from zos.vmd import domain, hook, libvirtd
from zos.vmd.api.types import Accelerator, Machine, MachineDisk, MachineId, MachineKind, Share
from zos.vmd.domain import Files


def test_the_limits_that_a_domain_is_rendered_with_are_read():
    machine = Machine(MachineId("26-7-vm"), "vm", MachineKind.CONTAINER, 3, GiB(1), root=Path("/r"))
    xml = domain.render(machine, Files(Path("/c"), Path("/s"), user=73729), Accelerator.TCG)
    limits = hook.Domain(xml).limits
    assert limits is not None
    assert (limits.memory, limits.weight) == (machine_memory(GiB(1)), 3)
    assert 3 < limits.pids < 1000
    assert "<label>+73729:+73729</label>" in xml
    assert hook.Domain("<domain/>").limits is None


def live(machine: Machine, number: int) -> str:
    """The domain's XML as libvirt hands it to the hook."""
    xml = domain.render(machine, Files(Path("/c"), Path("/s")), Accelerator.TCG)
    return xml.replace("<domain ", f'<domain id="{number}" ')


@pytest.mark.parametrize("name", ["26-7-vm", "7543-1234567-frontend_server", "5-7-fs0-fs"])
def test_a_machine_has_its_qemu_and_the_file_servers_of_its_domain(tmp_path: Path, name: str):
    machine = Machine(MachineId(name), "vm", MachineKind.CONTAINER, 1, GiB(1), root=Path("/r"))
    machine = dataclasses.replace(machine, shares=(Share("logs", Path("/l"), "/l"),))
    # libvirt notes the QEMU by the whole name, and file servers by the domain's number and 20 characters of it.
    notes = {f"{name}.pid": 10, f"5-{name[:20]}-fs0-fs.pid": 20, f"5-{name[:20]}-fs1-fs.pid": 21}
    others = {f"4-{name[:20]}-fs0-fs.pid": 30, f"{name}2.pid": 40, f"15-{name[:20]}-fs0-fs.pid": 50}
    for note, pid in (notes | others).items():
        (tmp_path / note).write_text(str(pid))
    (tmp_path / f"{name}.xml").touch()
    assert hook.noted(tmp_path, name, hook.Domain(live(machine, 5))) == ({10, 20, 21}, "")
    (tmp_path / f"5-{name[:20]}-fs1-fs.pid").unlink()
    assert hook.noted(tmp_path, name, hook.Domain(live(machine, 5))) == (
        {10, 20},
        "1 of 2 file servers of domain 5 are noted",
    )
    (tmp_path / f"{name}.pid").unlink()
    without = Machine(MachineId(name), "vm", MachineKind.IMAGE, 1, GiB(1), disks=(MachineDisk(Path("/d")),))
    assert hook.noted(tmp_path, name, hook.Domain(live(without, 5))) == (set(), "its QEMU is not noted")


def test_what_was_started_by_a_process_is_found():
    parents = {10: 1, 20: 1, 21: 20, 22: 21, 30: 1, 31: 30}
    assert hook.with_children({10, 20}, parents) == {10, 20, 21, 22}


@pytest.mark.process
def test_the_hook_starts_a_program_only_for_what_runs_and_removes_the_groups_of_what_is_over(tmp_path: Path):
    trees = Trees(1, {"memory": f"{tmp_path}/it's memory", "pids": f"{tmp_path}/pids"})
    for folder in ("it's memory", "pids"):
        (tmp_path / folder / PARENT / "over").mkdir(parents=True)
    (tmp_path / "pids" / PARENT / "runs/process").mkdir(parents=True)
    script = tmp_path / "hook"
    script.write_text(libvirtd.hook(trees))

    def run(operation: str) -> subprocess.CompletedProcess[str]:
        argv = ["sh", str(script), "vm", operation, "begin", "-"]
        return subprocess.run(argv, input="<domain/>", capture_output=True, text=True, timeout=30, check=False)

    assert (run("prepare").returncode, run("release").returncode) == (0, 0)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        *("hook", "it's memory", "pids", f"pids/{PARENT}", f"pids/{PARENT}/runs", f"pids/{PARENT}/runs/process")
    ]
    # A domain of a former release has no limits; one that cannot be read is an error, and libvirt ends it.
    done = run("started")
    assert (done.returncode, done.stderr) == (0, "")
    script.write_text(libvirtd.hook(trees).replace("1:memory", "one:memory"))
    assert run("started").returncode != 0
