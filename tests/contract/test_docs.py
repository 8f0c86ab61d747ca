"""What the documents name is there: paths of the tree, make targets, names in the table of terms."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/decisions").glob("*.md")),
)
PATH = re.compile(r"`((?:zos|docs|tests|images|systemd|examples|\.ci)/[^`\s<>*…{]*[^`\s<>*…{/])/?`")
LINK = re.compile(r"\]\(([^)#:]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_and_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    missing = [path for path in PATH.findall(text) if not (ROOT / path).exists() and "data/systemd" not in path]
    missing += [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    assert missing == []


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for page in PAGES for target in re.findall(r"`make ([a-z]+)", page.read_text())}
    assert named <= targets


def test_classes_in_the_table_of_terms_exist() -> None:
    text = (ROOT / "docs/terms.md").read_text()
    named = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", text))
    code = "\n".join(path.read_text() for path in (ROOT / "zos").rglob("*.py") if "tests" not in path.parts)
    assert {name for name in named if f"class {name}" not in code} == set()
