"""Deployments that are almost right, read by the grid's own Go types and by ours: the same hash, or refused by both."""

from __future__ import annotations

import base64
import json
import random
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zos.errors import ZosError
from zos.model.challenge import deployment_hash
from zos.model.deployment import decode

VECTORS = Path(__file__).parents[2] / "zos/model/tests/data/deployments.jsonl"
COUNT = 4000
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 0.5, 1e300, -0.0, "", "x", "0", "ß", "\u212a", "\u2028"),
    *("10.0.0.0/8", "10.1.2.3/24", "::ffff:10.0.0.1/120", "300::/7", "1.2.3.4:5", "2020-01-01T00:00:00Z", "00" * 32),
    *([], [None], {}, {"x": 1}, [[]], "zmachine", "network", "<b>&", "\x00", "a" * 300),
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a document with each of its keys."""
    keys: Any = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from places(value[key])


def changed(document: Any, chance: random.Random) -> bytes:
    """One document with a few changes."""
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        found = list(places(document))
        if not found:
            break
        container, key = chance.choice(found)
        match chance.randrange(4):
            case 0:
                del container[key]
            case 1 if isinstance(container, dict):
                container[chance.choice((key.upper(), key.title(), key + "x"))] = container.pop(key)
            case _:
                container[key] = chance.choice(VALUES)
    return json.dumps(document, ensure_ascii=chance.random() < 0.5, allow_nan=False).encode(errors="replace")


def documents(seed: int) -> list[bytes]:
    """The same ones for the same seed."""
    chance = random.Random(seed)
    rows = [json.loads(line) for line in VECTORS.read_text().splitlines()]
    texts = [
        row["input"]
        for row in rows
        if row["class"] == "valid" and len(row.get("input", "x" * 9999)) < 4000 and "\\ud" not in row["input"]
    ]
    return [changed(json.loads(chance.choice(texts)), chance) for _ in range(COUNT)]


def ours(document: bytes) -> tuple[str, str]:
    """Hash, and why not."""
    try:
        return deployment_hash(decode(document)).hex(), ""
    except ZosError as err:
        return "", str(err)


SORTS = (
    (
        "types that came later",
        re.compile("invalid reservation type 'network-light'|invalid reservation type 'zmachine-l"),
    ),
    ("a workload without data", re.compile("unexpected end of JSON input")),
    ("fields that only a workload's own check reads", re.compile("cannot unmarshal .* into Go struct field")),
    ("one key twice", re.compile("is there twice")),
    ("a panic of theirs", re.compile("^panic: ")),
)
"""Kinds of differences, by what one side says."""


def sort_of(problem: str) -> str:
    """The kind of a difference; the text itself when it is none that we know."""
    return next((name for name, pattern in SORTS if pattern.search(problem)), problem[:120])


def run(program: Path, seed: int = 1) -> Iterator[tuple[str, str]]:
    """Tests with `pass`, or what differs. The kinds that we know are always among them."""
    given = documents(seed)
    lines = b"".join(base64.b64encode(one) + b"\n" for one in given)
    said = subprocess.run([program], input=lines, stdout=subprocess.PIPE, check=True, timeout=120).stdout
    hashes, sorts = Counter[str](), Counter({name: 0 for name, _ in SORTS})
    examples: dict[str, str] = {}
    for document, line in zip(given, said.splitlines(), strict=True):
        theirs, (hash, problem) = json.loads(line), ours(document)
        if hash and theirs["hash"]:
            hashes["equal" if hash == theirs["hash"] else document.decode()[:300]] += 1
        elif hash or theirs["hash"]:
            sort = sort_of(problem or theirs["error"])
            sorts[sort] += 1
            examples.setdefault(sort, f"{problem or theirs['error']} ({'there' if problem else 'here'} it is taken)")
    yield "equal hashes where both take it", "pass" if set(hashes) == {"equal"} else str(hashes.most_common(3))
    for name, count in sorts.items():
        yield f"verdict: {name}", "pass" if not count else f"{count} times: {examples[name]}"
