"""Each daemon may call the methods that its code calls (`zos/runtime/calls.py`): all of them, and no other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from zos.core0.units import UNITS
from zos.runtime import users
from zos.runtime.calls import CALLS

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("core0", *(unit.name for unit in UNITS))
CLIENTS = {f"{name.capitalize()}Client": name for name in NAMES}
ALSO = {"provisiond": ("verbs", "primitives")}
"""Packages whose code runs in a daemon beside its own."""


def test_the_table_names_daemons_and_their_methods():
    assert {unit.id: unit.name for unit in UNITS} == users.NAMES
    assert set(CALLS) <= set(users.NAMES.values())
    for daemons in CALLS.values():
        for daemon, methods in daemons.items():
            assert methods <= rpcs(daemon)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_calls_the_methods_that_its_code_calls(unit):
    assert {daemon: set(methods) for daemon, methods in unit.calls.items()} == called(unit.name)


def rpcs(daemon: str) -> set[str]:
    services = import_module(f"zos.{daemon}.api.{daemon}_pb2").DESCRIPTOR.services_by_name
    return {method.name for service in services.values() for method in service.methods}


def called(unit: str) -> dict[str, set[str]]:
    """By daemon, what the code that runs in a unit calls of it.

    A client is known by how it is made or annotated, and then by the last part of the name that it was given, anywhere
    in the unit; a method counts where it is named, since it may be handed on.
    """
    folders = [ROOT / "zos" / name for name in (unit, *ALSO.get(unit, ()))]
    nodes = [node for folder in folders for path in sorted(folder.rglob("*.py")) for node in _nodes(path)]
    bound: dict[str, set[str]] = {}
    before = -1
    while before != (before := sum(map(len, bound.values()))):
        for name, value in (pair for node in nodes for pair in _bindings(node)):
            if name:
                bound.setdefault(name, set()).update(_clients(value, bound))
    found: dict[str, set[str]] = {}
    for node in nodes:
        if isinstance(node, ast.Attribute):
            for daemon in _clients(node.value, bound) - {unit}:
                if methods := _api(daemon).get(node.attr):
                    found.setdefault(daemon, set()).update(methods)
    return found


def _nodes(path: Path) -> Iterator[ast.AST]:
    if "tests" not in path.parts[len(ROOT.parts) :]:
        yield from ast.walk(ast.parse(path.read_text()))


def _bindings(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names and what they are given, or are said to be."""
    match node:
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)) if len(names) == len(values):
            yield from zip(map(_last, names), values, strict=True)
        case ast.Assign(targets=[name], value=value):
            yield _last(name), value
        case ast.AnnAssign(target=name, annotation=value):
            yield _last(name), value
        case ast.arg(arg=name, annotation=ast.expr() as value):
            yield name, value


def _last(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _clients(node: ast.expr, bound: dict[str, set[str]]) -> set[str]:
    """The daemons whose clients an expression may be: `VmdClient(bus)`, `clients.of(VmdClient)`, a name of one."""
    match node:
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr="of"), args=[ast.Name(id=name)]):
            return {CLIENTS[name]} if name in CLIENTS else set()
        case ast.Name(id=name) if name in CLIENTS:
            return {CLIENTS[name]}
    return bound.get(_last(node), set())


@cache
def _api(daemon: str) -> dict[str, set[str]]:
    """The methods of a daemon's client, and what each calls over the bus."""
    tree = ast.parse((ROOT / "zos" / daemon / "api/client.py").read_text())
    found: dict[str, set[str]] = {}
    for method in (node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)):
        for node in ast.walk(method):
            match node:
                case ast.Call(func=ast.Attribute(attr="call" | "stream"), args=[ast.Constant(value=str(name)), *_]):
                    found.setdefault(method.name, set()).add(name)
                case ast.Attribute(value=ast.Name(id="self"), attr=other) if other not in ("call", "stream"):
                    # It calls another of its methods.
                    found.setdefault(method.name, set()).add(other)
    return {name: set().union(*(found.get(one, {one}) for one in calls)) for name, calls in found.items()}
