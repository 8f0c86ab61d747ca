"""What the real 0-db answered, and the bytes of its files: ours are the same, but where the recording notes a fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zos.zdb.tests.replay import Replay, scenarios

FOLLOWS_FROM_A_FAULT = {270}
"""The line uses the cursor that the original made of a file's header (line 266), where ours refuses."""


@pytest.mark.process
@pytest.mark.parametrize(("options", "steps"), [pytest.param(*rest, id=name) for name, *rest in scenarios()])
async def test_a_recorded_session_is_answered_alike(
    tmp_path: Path, options: str, steps: list[tuple[int, dict[str, Any]]]
) -> None:
    differences = await Replay(tmp_path).run(options, steps)
    unexplained = [one for one in differences if not one.note and one.line not in FOLLOWS_FROM_A_FAULT]
    assert unexplained == []
