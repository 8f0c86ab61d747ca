"""The kinds of network interface of a machine: one module or folder each, found by looking.

Adding one edits nothing else here: it reads its own part of the workload's `network`, plans its tap and gives its part
of the result.
"""

from __future__ import annotations

import importlib
import pkgutil

from zos.model.decode import Fields
from zos.primitives.zmachine.attachment import Attachment


def kinds() -> tuple[type[Attachment], ...]:
    """Every kind there is, in the order of a machine's interfaces."""
    names = sorted(entry.name for entry in pkgutil.iter_modules(__path__))
    found = [importlib.import_module(f"{__name__}.{name}").ATTACHMENT for name in names]
    return tuple(sorted(found, key=lambda kind: kind.order))


def parse(network: Fields) -> tuple[Attachment, ...]:
    """The interfaces that a machine's `network` asks for, in their order."""
    return tuple(one for kind in kinds() if (one := kind.parse(network)) is not None)
