"""What a console tells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.vmd import trace

FIRST = trace.start_line("2026-11-23T23:19:50+00:00", 0) + b"[zos] phase userland 9.99\r\n"
SECOND = trace.start_line("2026-11-23T23:20:50+00:00", 1)


def test_phases_are_those_of_the_last_boot():
    text = FIRST + SECOND + b"[zos] phase userland 1.74\r\n[zos] phase root 1.93\r\nhello\r\n"
    assert trace.phases(text) == {"userland": 1.74, "root": 1.93}
    assert trace.phases(FIRST + SECOND) == {}


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("[zos] failed the root file system cannot be mounted\r\n[ 1.2] reboot: Power down", "the root file system"),
        ("Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000300", "ended with status 3"),
        ("Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b", "ended by signal 11"),
        ("Kernel panic - not syncing: VFS: Unable to mount root fs", "VFS: Unable to mount root fs"),
        ("reboot: Restarting system", "the guest rebooted"),
        ("reboot: Power down", "switched itself off"),
        ("bye", ""),
    ],
)
def test_the_last_words_say_why_a_guest_ended(words: str, meaning: str):
    found = trace.verdict(FIRST + b"[zos] failed in the boot before\r\n" + SECOND + words.encode())
    assert meaning in found
    assert bool(found) == bool(meaning)


@given(st.binary(max_size=400))
def test_a_guest_may_write_anything(text: bytes):
    trace.verdict(SECOND + text)
    trace.phases(SECOND + b"[zos] phase " + text)
