"""`.startup.toml`: what a flist that came from a container image starts, and with which environment. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_STARTUP = 256 * 1024


@dataclass(frozen=True, slots=True)
class Startup:
    """How the guest is started, as the flist says it."""

    entrypoint: str = ""
    """One line, quoted as for a shell."""
    env: Mapping[str, str] = field(default_factory=dict)


def parse(data: bytes) -> Startup:
    """The table `startup.entry` (or the first one with a command); ValueError when it is no such file."""
    import tomllib  # few flists have such a file, and this is a fifth of the time to look into one

    document = tomllib.loads(data.decode())
    entries = document.get("startup", {})
    if not isinstance(entries, dict):
        raise ValueError("`startup` is not a table")
    chosen = entries.get("entry") or next((entry for entry in entries.values() if isinstance(entry, dict)), {})
    args = chosen.get("args", {}) if isinstance(chosen, dict) else {}
    if not isinstance(args, dict):
        raise ValueError("`args` is not a table")
    words = [args.get("name", ""), *_list(args.get("args", []))]
    env = args.get("env", {})
    if not isinstance(env, dict) or not all(isinstance(word, str) for word in words):
        raise ValueError("a command or an environment is not text")
    entrypoint = shlex.join(words) if words[0] else ""
    for text in (entrypoint, *map(str, env.keys()), *map(str, env.values())):
        if "\0" in text:
            raise ValueError("a NUL is in the text")
    return Startup(entrypoint, {str(name): str(value) for name, value in env.items()})


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError("the arguments are not a list")
    return value
