"""The order of types."""

from __future__ import annotations

from typing import Any

import pytest

from zos.primitives import ordered
from zos.verbs.primitive import Primitive


def kind(name: str, after: tuple[str, ...] = (), before: tuple[str, ...] = ()) -> Primitive[Any]:
    made: type[Primitive[Any]] = type(name, (Primitive,), {"wire_type": name, "after": after, "before": before})
    return made()


def test_types_are_made_after_what_they_name_and_else_by_name() -> None:
    types = [kind("zlogs", after=("zmachine",)), kind("zmachine", after=("network", "zmount")), kind("zmount")]
    assert list(ordered([*types, kind("network")])) == ["network", "zmount", "zmachine", "zlogs"]


def test_a_newcomer_can_put_itself_before_a_type_that_does_not_know_it() -> None:
    assert list(ordered([kind("a"), kind("z", before=("a",))])) == ["z", "a"]


def test_an_order_that_is_a_circle_is_refused() -> None:
    with pytest.raises(ValueError, match="a, b is a circle"):
        ordered([kind("a", after=("b",)), kind("b", after=("a",))])
