"""Programs that serve until SIGTERM."""

from __future__ import annotations

import logging
import os
import signal

import pytest

from zos.errors import Status, ZosError
from zos.runtime import program


class Refused(ZosError):
    """An error of a program with a fact in its text."""

    reason = "test.program_refused"
    status = Status.INVALID_ARGUMENT
    text = "port {port} is taken"
    hint = "name another one"


@pytest.fixture(autouse=True)
def _own_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_program_ends_well_when_it_is_told_to(number: signal.Signals):
    ended = []

    async def serve() -> None:
        async with program.stop_signals() as stopping:
            os.kill(os.getpid(), number)
            await stopping.wait()
        ended.append(True)

    assert program.main("test", serve) == 0
    assert ended
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_refusal_is_told_with_its_advice(capsys: pytest.CaptureFixture[str]):
    async def serve() -> None:
        raise Refused(port=80)

    assert program.main("test", serve) == 1
    assert capsys.readouterr().err == "test: port 80 is taken\nname another one\n"
