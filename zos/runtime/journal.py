"""Logging to standard error in the journal's form."""

from __future__ import annotations

import logging
import os
import sys


def set_up_journal(name: str, debug: bool = False) -> None:
    """Log to standard error: a priority where the journal reads it, the time, the program's name, the text."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(name))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for chatty in ("asyncio", "grpc", "websockets", "aiohttp.access", "pyroute2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class _Formatter(logging.Formatter):
    """systemd takes the priority off each line; without systemd there is none, so that files stay readable."""

    _LEVELS = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}

    def __init__(self, name: str) -> None:
        super().__init__(f"%(asctime)s {name}[{os.getpid()}]: %(message)s")
        self._prefix = bool(os.environ.get("JOURNAL_STREAM"))

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"<{self._LEVELS.get(record.levelno, 5)}>{text}" if self._prefix else text
