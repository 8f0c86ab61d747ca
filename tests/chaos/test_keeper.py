"""What lines of a guest's console prove."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from keeper import SIZE, Keeping

A, B = "a" * 64, "b" * 64
WROTE = f"keep: wrote /data b0-1.kept {A}\r\n"
HAVE = f"[    3.1] noise keep: have /data b0-1.kept {A}\r\n"
LISTED = "keep: listed /data\r\n"


def heard(*lines: str) -> Keeping:
    keeping = Keeping("vm")
    for line in lines:
        keeping.hear(line)
    return keeping


def test_what_is_read_back_is_verified() -> None:
    keeping = heard(WROTE, HAVE, LISTED)
    assert (keeping.verified, keeping.violations) == (SIZE, [])


def test_another_content_is_a_violation() -> None:
    assert heard(WROTE, HAVE.replace(A, B), LISTED).violations == ["vm: /data/b0-1.kept is not what was written"]


def test_a_file_that_two_lists_lack_is_lost_and_one_list_may_be_torn() -> None:
    assert heard(WROTE, LISTED, HAVE, LISTED).violations == []
    lost = heard(WROTE, LISTED, LISTED, LISTED).violations
    assert lost == ["vm: /data has lost 1 synced files, b0-1.kept first"]


def test_what_the_guest_removes_is_not_missed() -> None:
    assert heard(WROTE, "keep: removes /data b0-1.kept\n", LISTED, LISTED).violations == []


def test_folders_are_told_apart() -> None:
    assert heard(WROTE, "keep: listed /other\n", "keep: listed /other\n").violations == []


@given(st.lists(st.integers(0, 400)))
def test_it_does_not_matter_where_a_console_is_cut_into_pieces(cuts: list[int]) -> None:
    text = WROTE + HAVE + LISTED
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    assert (heard(*pieces).verified, heard(*pieces).violations) == (SIZE, [])
