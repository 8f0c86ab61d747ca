"""A daemon's configuration: defaults, then the TOML file, then the environment, then the kernel command line.

Unknown keys are errors that name the file and the key: a misspelt option must never be a silent default.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import shlex
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from zos.errors import Status, ZosError
from zos.runtime import grids, paths
from zos.runtime.grids import Grid

CONFIG_FILE = Path("/etc/zos/zos.toml")
CMDLINE_FILE = Path("/proc/cmdline")

C = TypeVar("C")


class BadConfig(ZosError):
    """The configuration cannot be used."""

    reason = "runtime.bad_config"
    status = Status.INVALID_ARGUMENT
    text = "{where}: {problem}"
    hint = "correct it and start again"


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What all daemons of a node share (table `[node]`)."""

    farm_id: int = 0
    """The farm this machine belongs to; 0 is an orphan that registers nowhere."""
    chain: tuple[str, ...] = ()
    """WebSocket URLs of the chain, tried in turn. A farm's node without any joins the public grid of `runmode`."""
    relay: tuple[str, ...] = ()
    """WebSocket URLs of RMB relays, at most four; on a public grid its own by default."""
    hub: str = ""
    """Base URL of the hub that flist URLs without a host refer to; on a public grid its own by default."""
    runmode: str = "prod"
    """dev, qa, test or prod (production, main): which public grid this is."""
    run_dir: Path = Path("/run/zos")
    """Sockets and volatile state."""
    state_dir: Path = Path("/var/lib/zos")
    """Ledgers and keys; each daemon has its own folder."""
    debug: bool = False
    """Verbose journal."""

    @property
    def grid(self) -> Grid:
        """The services of the public grid that the node is on; none on a private one."""
        return grids.of_chain(self.chain)


# Names that the reference node reads from the kernel command line.
REFERENCE_NAMES = {
    "farmer_id": ("node", "farm_id"),
    "substrate": ("node", "chain"),
    "relay": ("node", "relay"),
    "activation": ("chain", "activation"),
    "runmode": ("node", "runmode"),
    "zos-debug": ("node", "debug"),
}


@dataclass(frozen=True, slots=True)
class Sources:
    """Where configuration is read from; tests hand in their own."""

    file: Path = CONFIG_FILE
    cmdline: str = ""
    environ: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @staticmethod
    def of_system() -> Sources:
        """The machine's own sources; `ZOS_CONFIG` names another file."""
        file = Path(os.environ.get("ZOS_CONFIG", str(CONFIG_FILE)))
        cmdline = CMDLINE_FILE.read_text() if CMDLINE_FILE.exists() else ""
        return Sources(file, cmdline, dict(os.environ))


def read(sources: Sources, table: str, cls: type[C]) -> C:
    """The configuration of one table, as a dataclass of the given class."""
    kinds = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    values.update(_from_file(sources.file, table, kinds))
    values.update(_from_environ(sources.environ, table, kinds))
    values.update(_from_cmdline(sources.cmdline, table, kinds))
    try:
        return msgspec.convert(values, cls, dec_hook=paths.decode)
    except (msgspec.ValidationError, ValueError) as err:
        raise BadConfig(where=f"[{table}]", problem=err) from None


def read_node(sources: Sources) -> NodeConfig:
    """The table `[node]`; what it leaves open about a public grid is that grid's."""
    node = read(sources, "node", NodeConfig)
    try:
        meant = grids.named(node.runmode)
    except KeyError:
        words = ", ".join((*grids.PUBLIC, *grids.WORDS))
        raise BadConfig(where="[node]", problem=f"runmode `{node.runmode}` is none of {words}") from None
    if not node.farm_id:
        return node
    chain = node.chain or meant.chain
    grid = grids.of_chain(chain)
    return dataclasses.replace(node, chain=chain, relay=node.relay or grid.relay, hub=node.hub or grid.hub)


def _from_file(file: Path, table: str, kinds: Mapping[str, Any]) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        document = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise BadConfig(where=file, problem=err) from None
    values = document.get(table, {})
    if not isinstance(values, dict):
        raise BadConfig(where=file, problem=f"[{table}] is not a table")
    for key in values:
        if key not in kinds:
            near = difflib.get_close_matches(key, list(kinds), n=1)
            meant = f"; did you mean `{near[0]}`?" if near else f"; it takes {', '.join(sorted(kinds))}"
            raise BadConfig(where=file, problem=f"[{table}] has no key `{key}`{meant}")
    return values


def _from_environ(environ: Mapping[str, str], table: str, kinds: Mapping[str, Any]) -> dict[str, Any]:
    prefix = f"ZOS_{table.upper()}_"
    found: dict[str, Any] = {}
    for name, text in environ.items():
        if name.startswith(prefix) and (key := name[len(prefix) :].lower()) in kinds:
            found[key] = _text(text.split(",") if text else [], kinds[key], name)
    return found


def _from_cmdline(cmdline: str, table: str, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """`zos.<table>.<key>=value`, or the reference's names; a repeated key makes a list."""
    words: dict[str, list[str]] = {}
    for word in shlex.split(cmdline):
        name, _, text = word.partition("=")
        owner, key = REFERENCE_NAMES.get(name, ("", ""))
        if name.startswith(f"zos.{table}."):
            owner, key = table, name.removeprefix(f"zos.{table}.")
        if owner == table and key in kinds:
            words.setdefault(key, []).append(text)
    return {key: _text(texts, kinds[key], f"kernel command line: {key}") for key, texts in words.items()}


def _text(texts: list[str], kind: Any, where: str) -> Any:
    """Text values as the type that a field wants."""
    if typing.get_origin(kind) is tuple:
        return [part for text in texts for part in text.split(",") if part]
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kind = next(arg for arg in typing.get_args(kind) if arg is not type(None))
    last = texts[-1] if texts else ""
    if kind is bool:
        return last.lower() in ("", "1", "true", "yes", "on")
    try:
        if kind is int:
            return int(last, 10)
        if kind is float:
            return float(last)
    except ValueError:
        raise BadConfig(where=where, problem=f"`{last}` is not a number") from None
    return last
