"""Tables and progress: what people see, what programs see, and that neither can be harmed by a guest's words."""

from __future__ import annotations

import io
import json

import pytest

from zos.cli.out import Out
from zos.cli.render import fields, printable, since, table


def test_a_table_is_as_wide_as_its_widest_cell_and_numbers_stand_right() -> None:
    assert table(["name", "cpu"], [["a", 2], ["longer", 16]]) == "NAME    CPU\na         2\nlonger   16"


def test_an_empty_table_says_so() -> None:
    assert table(["name"], []) == "(none)"


def test_nothing_is_a_dash_and_wide_letters_count_twice() -> None:
    assert table(["a", "b"], [["日本", None], ["x", "y"]]) == "A     B\n日本  -\nx     y"


def test_control_characters_never_reach_the_terminal() -> None:
    assert "\x1b" not in table(["console"], [["\x1b[2Jgone\r\n"]])
    assert printable("a\x1b]0;title\x07b") == "a ]0;title b"


def test_fields_line_up() -> None:
    assert fields({"id": 1, "address": "x", "none": None}) == "id       1\naddress  x\nnone     -"


@pytest.mark.parametrize(("seconds", "text"), [(-1, "0 s"), (3, "3 s"), (150, "2 min"), (7200, "2 h"), (400000, "5 d")])
def test_spans_are_told_in_the_unit_that_people_would_use(seconds: float, text: str) -> None:
    assert since(seconds) == text


def streams(as_json: bool) -> tuple[Out, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    return Out(as_json, out, err), out, err


def test_programs_get_json_and_people_get_text() -> None:
    told, out, _ = streams(True)
    told.result({"id": 1}, "one")
    assert json.loads(out.getvalue()) == {"id": 1}
    told, out, _ = streams(False)
    told.result({"id": 1}, "one")
    assert out.getvalue() == "one\n"


def test_progress_never_mixes_with_the_answer() -> None:
    told, out, err = streams(True)
    with told.step("building") as step:
        step.at("half\x1b[0m")
    told.result([], "")
    assert out.getvalue() == "[]\n"
    assert "✓ building: half [0m" in err.getvalue()


def test_a_step_that_fails_is_shown_as_failed() -> None:
    told, _, err = streams(False)
    with pytest.raises(KeyError), told.step("building"):
        raise KeyError("no")
    assert "✗ building" in err.getvalue()
    assert "✓" not in err.getvalue()


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;your shell\x07name", "name"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("a\x1b(0b\x1bcd", "abd"),
        ("one\r\n\ttwo\x08\x9b2J", "one\n\ttwo2J"),
        ("\u202eevil", "evil"),
    ],
)
def test_a_terminal_is_commanded_by_no_text(raw: str, shown: str) -> None:
    told, out, err = streams(False)
    told.result({"text": raw}, raw)
    told.note(raw)
    told.part(raw)
    assert out.getvalue() == f"{shown}\n{shown}"
    assert err.getvalue() == f"{shown}\n"
    as_json, out, _ = streams(True)
    as_json.result({"text": raw}, "")
    assert json.loads(out.getvalue()) == {"text": raw}
