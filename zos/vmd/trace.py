"""Reads a guest's console: how far its last boot came, and what its last words mean. Pure.

A guest can write anything there; what is read is shown to people and decides nothing.
"""

from __future__ import annotations

import re

STARTED = "[zos] start"
_PHASE = re.compile(rb"^\[zos\] phase ([a-z]{1,20}) ([0-9]{1,6}\.[0-9]{1,6})\r?$", re.MULTILINE)
_WARNING = re.compile(rb"^\[zos\] warning ([^\r\n]{1,200})", re.MULTILINE)
_FAILED = re.compile(rb"\[zos\] failed ([^\r\n]{1,200})")
_INIT_ENDED = re.compile(rb"Attempted to kill init! exitcode=0x([0-9a-f]{8})")
_PANIC = re.compile(rb"Kernel panic - not syncing: ([^\r\n]{1,200})")
_LAST_WORDS = (
    (b"reboot: Restarting system", "the guest rebooted"),
    (b"reboot: Power down", "the guest switched itself off"),
)


def start_line(when: str, number: int) -> bytes:
    """What vmd writes before each boot."""
    return f"\r\n{STARTED} {number} {when}\r\n".encode()


def last_boot(console: bytes) -> bytes:
    """What the console shows since the last start."""
    found = console.rfind(STARTED.encode())
    return console[found:] if found >= 0 else console


def phases(console: bytes) -> dict[str, float]:
    """Seconds on the guest's clock at which the last boot reached each phase."""
    return {name.decode(): float(seconds) for name, seconds in _PHASE.findall(last_boot(console))}


def warnings(console: bytes) -> tuple[str, ...]:
    """What our init could not do in the last boot, each once; the first few."""
    found = (text.decode(errors="replace") for text in _WARNING.findall(last_boot(console)))
    return tuple(dict.fromkeys(found))[:3]


def verdict(console: bytes) -> str:
    """Why the last boot ended, as far as the console tells; "" when it does not."""
    text = last_boot(console)
    if found := _FAILED.search(text):
        return found[1].decode(errors="replace")
    if found := _INIT_ENDED.search(text):
        return f"its entrypoint {_ended(int(found[1], 16))}"
    if found := _PANIC.search(text):
        return f"its kernel stopped: {found[1].decode(errors='replace')}"
    return next((meaning for words, meaning in _LAST_WORDS if words in text), "")


def _ended(status: int) -> str:
    signal = status & 0x7F
    return f"was ended by signal {signal}" if signal else f"ended with status {status >> 8}"
