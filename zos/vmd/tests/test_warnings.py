"""What our init could not do in a guest reaches whoever asks how the machine is."""

from __future__ import annotations

from zos.vmd import trace

CONSOLE = b"""\
[zos] start 1 2026-11-30T00:00:00+00:00
[zos] warning of a boot before
[zos] start 2 2026-11-30T00:01:00+00:00
[zos] warning no name server: /etc/resolv.conf cannot be written\r
[zos] warning no route by 10.0.0.1
[zos] warning no route by 10.0.0.1
says [zos] warning nothing
"""


def test_the_warnings_of_the_last_boot_are_told_once_each() -> None:
    assert trace.warnings(CONSOLE) == (
        "no name server: /etc/resolv.conf cannot be written",
        "no route by 10.0.0.1",
    )
    many = b"[zos] start 1 x\n" + b"".join(b"[zos] warning %d\n" % number for number in range(9))
    assert len(trace.warnings(many)) == 3
