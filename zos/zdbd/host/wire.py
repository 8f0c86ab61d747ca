"""What zdbd and a disk's process say to each other: a line of JSON each way. Pure."""

from __future__ import annotations

import msgspec

from zos.zdbd.model import Desired, Report

LIMIT = 16 << 20
"""Bytes of one line: tens of thousands of namespaces."""


class _Question(msgspec.Struct):
    number: int
    desired: Desired | None = None


class _Answer(msgspec.Struct):
    number: int
    report: Report


_QUESTION = msgspec.json.Decoder(_Question)
_ANSWER = msgspec.json.Decoder(_Answer)


def question(number: int, desired: Desired | None) -> bytes:
    """What zdbd sends: None asks only how it goes."""
    return msgspec.json.encode(_Question(number, desired)) + b"\n"


def parse_question(line: bytes) -> tuple[int, Desired | None]:
    """What came; raises MsgspecError."""
    found = _QUESTION.decode(line)
    return found.number, found.desired


def answer(number: int, report: Report) -> bytes:
    """What the process sends."""
    return msgspec.json.encode(_Answer(number, report)) + b"\n"


def parse_answer(line: bytes) -> tuple[int, Report]:
    """What came; raises MsgspecError."""
    found = _ANSWER.decode(line)
    return found.number, found.report
