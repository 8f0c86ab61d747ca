"""libvirt's hook: whose processes are a machine's, and which limits its domain names."""

from __future__ import annotations

from pathlib import Path

from zos.model.capacity import machine_memory
from zos.model.units import GiB
from zos.vmd import domain, hook
from zos.vmd.api.types import Accelerator, Machine, MachineId, MachineKind
from zos.vmd.domain import Files


def test_the_limits_that_a_domain_is_rendered_with_are_read():
    machine = Machine(MachineId("26-7-vm"), "vm", MachineKind.CONTAINER, 3, GiB(1), root=Path("/r"))
    xml = domain.render(machine, Files(Path("/c"), Path("/s"), user=73729), Accelerator.TCG)
    limits = hook.limits_of(xml)
    assert limits is not None
    assert (limits.memory, limits.weight) == (machine_memory(GiB(1)), 3)
    assert 3 < limits.pids < 1000
    assert "<label>+73729:+73729</label>" in xml
    assert hook.limits_of("<domain/>") is None


def test_a_machine_has_the_processes_of_its_name_and_what_they_started(tmp_path: Path):
    notes = {"26-7-vm.pid": 10, "3-26-7-vm-fs0-fs.pid": 20, "4-26-7-vm2-fs0-fs.pid": 30, "26-7-vm2.pid": 40}
    for name, pid in notes.items():
        (tmp_path / name).write_text(str(pid))
    assert set(hook.noted(tmp_path, "26-7-vm")) == {10, 20}
    parents = {10: 1, 20: 1, 21: 20, 22: 21, 30: 1, 31: 30}
    assert hook.with_children({10, 20}, parents) == {10, 20, 21, 22}
