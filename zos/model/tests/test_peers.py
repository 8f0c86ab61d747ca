"""Documents that the grid's Go node read, with its verdicts: the same hash, or refused by both."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from zos.errors import ZosError
from zos.model import challenge, deployment, signing
from zos.model.decode import Malformed, parse

DATA = Path(__file__).parent / "data"
STRICTER = {
    192: "a key twice",
    198: "a key twice, in other cases",
    202: "a number of 5000 digits",
    230: "a key twice",
    232: "a key twice",
}
"""Refused here although the Go node takes them; no client writes such."""
LATER = {62}
"""Workloads without data have a hash here; each type refuses them by the field that is missing."""
LISTED_TWICE = {22}
"""A twin that is listed twice in the requests counts twice there, and is refused here."""


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def text(row: dict[str, Any]) -> bytes:
    return base64.b64decode(row["input_b64"]) if "input_b64" in row else row["input"].encode()


@pytest.mark.parametrize("row", rows("deployments.jsonl"), ids=lambda row: f"{row['id']} {row['about']}")
def test_a_deployment_has_the_go_nodes_hash_or_is_refused_as_there(row: dict[str, Any]) -> None:
    def hashed() -> str:
        return challenge.deployment_hash(deployment.decode(text(row))).hex()

    if row["id"] in LATER:
        return
    if row["id"] in STRICTER or row["class"] in ("unparsable", "unhashable"):
        with pytest.raises(ZosError):
            hashed()
    else:
        assert hashed() == row["hash"]


@pytest.mark.parametrize("row", rows("signatures.jsonl"), ids=lambda row: f"{row['id']} {' '.join(row['signatures'])}")
def test_signatures_hold_where_they_hold_for_the_go_node(row: dict[str, Any]) -> None:
    whole = deployment.decode(text(row))
    digest = challenge.deployment_hash(whole)
    assert digest.hex() == row["hash"]
    keys = {int(twin): bytes.fromhex(key) for twin, key in row["keys"].items()}
    if row["verify"] == "" and row["id"] not in LISTED_TWICE:
        signing.check(whole, digest, keys)
    else:
        with pytest.raises(signing.BadSignature):
            signing.check(whole, digest, keys)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"7" * 5000 + b"}", "5000 digits"),
        (b'{"a": {"b": 1, "b": 2}}', "`b` is there twice"),
        (rb'{"\ud800": 1, "\ud801": 2}', "there twice"),
    ],
)
def test_what_go_and_we_would_read_differently_is_refused_in_our_words(document: bytes, problem: str) -> None:
    with pytest.raises(Malformed, match=problem):
        parse(document)


def test_halves_of_surrogate_pairs_and_bad_bytes_become_replacement_characters() -> None:
    assert parse(rb'{"\ud800": ["\udc00x", "\ud83d\ude00"]}') == {"\ufffd": ["\ufffdx", "\U0001f600"]}
    assert parse(b'["\xe2\x82", "\xed\xa0\x80"]') == ["\ufffd\ufffd", "\ufffd\ufffd\ufffd"]


@pytest.mark.parametrize(
    "time", ["2020-01-01", "2020-01-01T00:00Z", "2020-01-01T00:00:00", "20200101T000000Z", "2020-01-01 00:00:00Z"]
)
def test_a_time_without_zone_or_seconds_is_refused(time: str) -> None:
    with pytest.raises(Malformed, match="expiration"):
        deployment.decode({"expiration": time})


def test_a_fraction_of_a_second_is_cut_downwards() -> None:
    assert deployment.decode({"expiration": "1960-01-01T00:00:00.5Z"}).expiration == -315619200


@pytest.mark.parametrize("signature", ["00 11", "0\n", "0x00", "zz"])
def test_a_signature_is_plain_hexadecimal(signature: str) -> None:
    whole = deployment.decode(
        {
            "twin_id": 1,
            "signature_requirement": {
                "requests": [{"twin_id": 1}],
                "signatures": [{"twin_id": 1, "signature": signature}],
            },
        }
    )
    with pytest.raises(signing.BadSignature, match="hexadecimal"):
        signing.check(whole, bytes(16), {1: bytes(32)})
