"""Tells a usable /dev/kvm from a decoy, by running a few instructions of guest code in it.

    python -m zos.vmd.host.kvm      prints one JSON line: {"usable": bool, "why": str}

The device's existence says nothing: a paravirtual KVM opens, makes VMs, and dies on an instruction that every kernel
uses (lock cmpxchg16b). It runs in a child process, which can be killed when the kernel does not come back.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import signal
import struct
import sys
import time
from pathlib import Path

DEVICE = Path("/dev/kvm")
GUEST_DEADLINE = 0.25
FAST_ENOUGH = 0.01
"""20,000 turns of a loop take far less where the processor runs them, far more where software does."""
TRIES = 5
"""The best of so many counts: the first finds cold tables, and a node that boots does other things meanwhile."""

_GET_API_VERSION = 0xAE00
_CREATE_VM = 0xAE01
_GET_VCPU_MMAP_SIZE = 0xAE04
_GET_SUPPORTED_CPUID = 0xC008AE05
_CREATE_VCPU = 0xAE41
_SET_USER_MEMORY_REGION = 0x4020AE46
_RUN = 0xAE80
_SET_REGS = 0x4090AE82
_GET_SREGS = 0x8138AE83
_SET_SREGS = 0x4138AE84
_SET_CPUID2 = 0x4008AE90

_EXIT_HLT = 5
_EXIT_INTERNAL_ERROR = 17
_API_VERSION = 12
_MEMORY = 2 * 1024 * 1024
_CODE_AT = 0x8000
_CPUIDS = 256

CODE = bytes.fromhex(
    "b9 204e0000"  # mov ecx, 20000
    "ffc9"  # dec ecx
    "75fc"  # jnz back
    "31c0 31d2 31db 31c9"  # clear eax, edx, ebx, ecx
    "bf 00900000"  # mov edi, 0x9000
    "f0480fc70f"  # lock cmpxchg16b [rdi]
    "f4"  # hlt
)


def judge(reason: int, seconds: float) -> tuple[bool, str]:
    """Whether the guest ended as it does on a real processor."""
    if reason == _EXIT_INTERNAL_ERROR:
        return False, "/dev/kvm cannot run ordinary guest code (internal error, a paravirtual KVM)"
    if reason != _EXIT_HLT:
        return False, f"/dev/kvm ended a trial guest with exit reason {reason}"
    if seconds > FAST_ENOUGH:
        return False, f"/dev/kvm is emulated: a trial loop took {seconds * 1000:.0f} ms"
    return True, "a trial guest ran in /dev/kvm"


def probe(device: Path = DEVICE) -> tuple[bool, str]:
    """Run the trial guest."""
    try:
        kvm = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as err:
        return False, f"{device} cannot be opened: {os.strerror(err.errno or 0)}"
    try:
        return judge(*_trial(kvm))
    except InterruptedError:
        return False, f"/dev/kvm did not end a trial guest within {GUEST_DEADLINE} s"
    except OSError as err:
        return False, f"/dev/kvm refuses a trial guest: {errno.errorcode.get(err.errno or 0, err.errno)}"
    finally:
        os.close(kvm)


def _trial(kvm: int) -> tuple[int, float]:
    if fcntl.ioctl(kvm, _GET_API_VERSION, 0) != _API_VERSION:
        raise OSError(errno.ENOTSUP, "API version")
    vm = fcntl.ioctl(kvm, _CREATE_VM, 0)
    memory = mmap.mmap(-1, _MEMORY)
    _fill(memory)
    holder = ctypes.c_char.from_buffer(memory)
    region = struct.pack("<IIQQQ", 0, 0, 0, _MEMORY, ctypes.addressof(holder))
    fcntl.ioctl(vm, _SET_USER_MEMORY_REGION, region)
    vcpu = fcntl.ioctl(vm, _CREATE_VCPU, 0)
    cpuid = bytearray(8 + 40 * _CPUIDS)
    struct.pack_into("<I", cpuid, 0, _CPUIDS)
    fcntl.ioctl(kvm, _GET_SUPPORTED_CPUID, cpuid, True)
    fcntl.ioctl(vcpu, _SET_CPUID2, cpuid, True)
    state = mmap.mmap(vcpu, fcntl.ioctl(kvm, _GET_VCPU_MMAP_SIZE, 0))
    best = GUEST_DEADLINE
    for _ in range(TRIES):
        _set_registers(vcpu)
        best = min(best, _run(vcpu))
        # `exit_reason` of struct kvm_run.
        reason = int.from_bytes(state[8:12], "little")
        if reason != _EXIT_HLT or best <= FAST_ENOUGH:
            break
    return reason, best


def _fill(memory: mmap.mmap) -> None:
    """One 2 MiB page that maps to itself, and the code."""
    # Page tables: PML4 at 0x1000, PDPT at 0x2000, PD at 0x3000. 3 is present and writable, 0x80 a page of 2 MiB.
    struct.pack_into("<Q", memory, 0x1000, 0x2003)
    struct.pack_into("<Q", memory, 0x2000, 0x3003)
    struct.pack_into("<Q", memory, 0x3000, 0x83)
    memory[_CODE_AT : _CODE_AT + len(CODE)] = CODE


def _set_registers(vcpu: int) -> None:
    special = bytearray(312)
    fcntl.ioctl(vcpu, _GET_SREGS, special, True)
    code = struct.pack("<QIH10B", 0, 0xFFFFFFFF, 8, 11, 1, 0, 0, 1, 1, 1, 0, 0, 0)
    data = struct.pack("<QIH10B", 0, 0xFFFFFFFF, 16, 3, 1, 0, 1, 1, 0, 1, 0, 0, 0)
    special[0:24] = code
    for segment in range(1, 6):
        special[segment * 24 : segment * 24 + 24] = data
    control = 8 * 24 + 2 * 16
    # CR0 (protected, paging, numeric errors), CR3, CR4 (PAE, OSFXSR), EFER (long mode on and active).
    struct.pack_into("<Q", special, control, 0x80050033)
    struct.pack_into("<Q", special, control + 16, 0x1000)
    struct.pack_into("<Q", special, control + 24, 0x220)
    struct.pack_into("<Q", special, control + 40, 0x500)
    fcntl.ioctl(vcpu, _SET_SREGS, special, True)
    # Bit 1 of RFLAGS, the last of them, is always set.
    general = struct.pack("<18Q", *([0] * 6), 0x7000, *([0] * 9), _CODE_AT, 2)
    fcntl.ioctl(vcpu, _SET_REGS, general)


def _run(vcpu: int) -> float:
    # The signal makes KVM_RUN return; that it has a handler at all is what counts.
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, GUEST_DEADLINE)
    began = time.perf_counter()
    try:
        fcntl.ioctl(vcpu, _RUN, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return time.perf_counter() - began


def main() -> int:
    """Writes whether KVM works as JSON, in a process that may hang or die of it."""
    usable, why = probe()
    sys.stdout.write(json.dumps({"usable": usable, "why": why}) + "\n")
    sys.stdout.flush()
    # Tearing down a broken VM may block; the kernel does it behind us.
    os._exit(0)


if __name__ == "__main__":
    main()
