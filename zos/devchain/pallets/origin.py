"""Who sends a call: an account, or the chain itself after a vote. Owns which calls only the council may make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from zos.devchain.context import Context
from zos.devchain.errors import Refusal

ROOT = b"root"
"""The origin of what a farmers' proposal or a motion with three fifths of the council decided."""
MINORITY = b"few"
"""The origin of a motion with fewer votes: it may call nothing that is guarded."""

F = TypeVar("F", bound=Callable[..., None])


def guarded(handler: F) -> F:
    """Only for the council or root. A member may call directly, where the real chain wants a motion."""
    handler.guarded = True  # type: ignore[attr-defined]
    return handler


def passed_on(handler: F) -> F:
    """For everybody, root too: it dispatches calls that are checked themselves."""
    handler.passed_on = True  # type: ignore[attr-defined]
    return handler


def check(ctx: Context, who: bytes, handler: Any) -> None:
    """Refuse an origin that may not make this call."""
    if getattr(handler, "passed_on", False):
        return
    if getattr(handler, "guarded", False):
        allowed = who == ROOT or who in ctx.get("Council.Members")
    else:
        allowed = who not in (ROOT, MINORITY)
    if not allowed:
        raise Refusal("runtime", "BadOrigin")
