"""Runs a client's scenario beside the chain and takes what it tells."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from typing import Any


async def told_by(*command: str, env: Mapping[str, str] | None = None, deadline: float = 240.0) -> dict[str, Any]:
    """The JSON object in the last line that the program prints; its last words when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **(env or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(deadline):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()[-4000:]
    told: dict[str, Any] = json.loads(out.decode().splitlines()[-1])
    return told
