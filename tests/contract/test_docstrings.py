"""A docstring says what the name does not: units, errors, shapes, who acts. One that only restates the name fails."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Words that say nothing of their own beside a name: articles, prepositions, pronouns, counts and auxiliary verbs.
WORDS = """
a an the this that these those it its his her their our one ones all every each both some any none no not other another
of to for from by in on at as with without into and or is are was be been do does did has have i s t so once now thing
things something somebody nothing nobody whatever what which who more less new next value method function class object
called calls
"""
EMPTY = frozenset(WORDS.split())
SAME = {
    **dict.fromkeys(("remov", "delet", "drop", "forget"), "remove"),
    **dict.fromkeys(("creat", "mak", "made", "build", "built"), "make"),
    **dict.fromkeys(("stop", "end"), "end"),
    **dict.fromkeys(("director", "folder"), "folder"),
}


def stem(word: str) -> str:
    """The word without the endings of plurals and verbs; words of one meaning give the same."""
    word = word.lower()
    for ending in ("ings", "ing", "ers", "er", "ies", "ed", "es", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    return SAME.get(word, word)


def words(text: str) -> set[str]:
    """Stems of what the text says; CamelCase and snake_case are taken apart."""
    found = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+", text.replace("'", " "))
    return {stem(word) for word in found if word.lower() not in EMPTY}


def restating(source: str, *outer: str) -> Iterator[tuple[int, str, str]]:
    """Line, name and docstring of each object whose docstring has no word beyond its names."""

    def visit(node: ast.AST, names: tuple[str, ...]) -> Iterator[tuple[int, str, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                inside = (*names, child.name)
                said = ast.get_docstring(child)
                if said is not None and words(said) <= set[str]().union(*map(words, inside)):
                    yield child.lineno, ".".join(inside[len(outer) :]), said
                yield from visit(child, inside)
            else:
                yield from visit(child, names)

    yield from visit(ast.parse(source), outer)


@pytest.mark.parametrize(
    "source",
    [
        'class Table:\n    def put(self):\n        """Put it into the table."""',
        'def delete_route():\n    """Remove a route."""',
        'class Files:\n    def close(self):\n        """Close all the files."""',
        'def total():\n    """Both."""',
        'def create_bridge():\n    """A new bridge."""',
    ],
)
def test_a_docstring_that_only_restates_its_names_is_found(source: str) -> None:
    assert list(restating(source))


@pytest.mark.parametrize(
    "source",
    [
        'def mtu():\n    """Bytes that a packet may have."""',
        'def delete_route():\n    """Remove a route; no error when it is gone."""',
        "def put(): ...",
    ],
)
def test_a_docstring_that_says_more_is_not(source: str) -> None:
    assert not list(restating(source))


def test_docstrings_say_what_names_do_not() -> None:
    files = [path for top in ("zos", "tests") for path in (ROOT / top).rglob("*.py") if "_pb2" not in path.name]
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}: {said}"
        for path in sorted(files)
        for line, name, said in restating(path.read_text(), path.parent.name, path.stem)
    ]
    assert found == []
