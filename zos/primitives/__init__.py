"""One folder per workload type, each with `PRIMITIVE`; nothing else is edited to add one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from typing import Any

from zos.verbs.primitive import Primitive


def find() -> dict[str, Primitive[Any]]:
    """Every type there is, by its wire name, in the order in which they are made."""
    names = sorted(entry.name for entry in pkgutil.iter_modules(__path__) if entry.ispkg)
    return ordered(_loaded(name) for name in names)


def machine_types() -> tuple[str, ...]:
    """The wire names of the types whose workloads are machines."""
    return tuple(name for name, one in find().items() if one.is_machine)


def ordered(primitives: Iterable[Primitive[Any]]) -> dict[str, Primitive[Any]]:
    """A topological sort of `after` and `before`; names decide where those do not."""
    waiting = {one.wire_type: one for one in primitives}
    needs = {name: {other for other in one.after if other in waiting} for name, one in waiting.items()}
    for name, one in waiting.items():
        for other in one.before:
            if other in needs:
                needs[other].add(name)
    done: dict[str, Primitive[Any]] = {}
    while waiting:
        free = sorted(name for name in waiting if needs[name] <= done.keys())
        if not free:
            raise ValueError(f"the order of {', '.join(sorted(waiting))} is a circle")
        for name in free:
            done[name] = waiting.pop(name)
    return done


@cache
def _loaded(name: str) -> Primitive[Any]:
    module = importlib.import_module(f"{__name__}.{name}")
    found = module.PRIMITIVE
    if not isinstance(found, Primitive):
        raise TypeError(f"{__name__}.{name}.PRIMITIVE is no Primitive")
    return found
