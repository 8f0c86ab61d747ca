"""Words of a line, as the standard library's `shlex` splits them, in time that grows with the line."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zos.model import shellwords


@given(st.text("ab \t\n'\"\\#$\u00e9"))
@example("'' \"\"")
@example('"a\\\nb" \\\n')
def test_words_are_those_of_the_standard_library(text: str) -> None:
    try:
        wanted = shlex.split(text)
    except ValueError:
        with pytest.raises(ValueError, match="No "):
            shellwords.split(text)
    else:
        assert shellwords.split(text) == wanted


@pytest.mark.parametrize("text", ["x" * 1_000_000, "\\x" * 500_000, '"\\""' * 250_000, "'a'" * 300_000])
def test_a_long_word_is_one_pass(text: str) -> None:
    assert len(shellwords.split(text)) == 1


def test_a_long_quote_that_is_not_closed_is_found_in_one_pass() -> None:
    with pytest.raises(ValueError, match="No closing quotation"):
        shellwords.split('"' + '\\"' * 500_000)
