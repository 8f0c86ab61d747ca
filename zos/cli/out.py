"""A command's output: results to standard output (text or JSON), progress and errors to standard error.

Whatever is text loses its control sequences here: errors, names and console logs come from nodes, chains and guests.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

from zos.cli.render import harmless, printable

QUIET = 2.0
"""Seconds between two lines of progress where standard error is not a terminal."""


class Out:
    """Standard output and standard error of a command."""

    def __init__(self, as_json: bool = False, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.as_json = as_json
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._live = self._err.isatty()
        self._pending = ""
        self._said = ""
        self._told = 0.0

    def result(self, value: Any, text: str) -> None:
        """The command's answer: the value for programs, the text for people."""
        self._print(json.dumps(value, indent=2, default=str) if self.as_json else text)

    def part(self, text: str) -> None:
        """A piece of a text that goes on."""
        self._out.write(harmless(text))
        self._out.flush()

    def text(self, text: str) -> None:
        """Plain output that is the same for both."""
        self._print(text)

    def line(self, value: Any, text: str) -> None:
        """One of many answers that come over time: a JSON line for programs."""
        self._print(json.dumps(value, default=str) if self.as_json else text)

    def note(self, text: str) -> None:
        """A remark for people, next to the answer."""
        self._clear()
        print(harmless(text), file=self._err, flush=True)

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show what the command is doing, and at the end how long it took."""
        step = Step(self, title)
        self.pending(f"… {title}")
        try:
            yield step
        except BaseException:
            self.note(f"✗ {title}{step.tail()}")
            raise
        self.note(f"✓ {title}{step.tail()}  {step.seconds():.1f} s")

    def pending(self, text: str) -> None:
        """Show the present state: on a terminal one line that is rewritten, else a line now and then."""
        text = printable(text)
        if text == self._said:
            return
        self._said = text
        if self._live:
            self._clear()
            width = shutil.get_terminal_size().columns - 1
            self._err.write(text if len(text) <= width else f"{text[: width - 1]}…")
            self._err.flush()
            self._pending = text
        elif time.monotonic() - self._told >= QUIET:
            # In a log, a line every QUIET seconds is enough.
            self._told = time.monotonic()
            print(text, file=self._err, flush=True)

    def _clear(self) -> None:
        if self._pending:
            self._err.write("\r\x1b[2K")
            self._pending = ""

    def _print(self, text: str) -> None:
        self._clear()
        print(text if self.as_json else harmless(text), file=self._out, flush=True)


class Step:
    """An action in progress."""

    def __init__(self, out: Out, title: str) -> None:
        self._out = out
        self._title = title
        self._detail = ""
        self._began = time.monotonic()

    def at(self, detail: str) -> None:
        """Tell how far it is."""
        self._detail = detail
        self._out.pending(f"… {self._title}: {detail}")

    def tail(self) -> str:
        """The last detail, for the closing line."""
        return f": {printable(self._detail)}" if self._detail else ""

    def seconds(self) -> float:
        return time.monotonic() - self._began
