"""Where a contract says that its deployment lies."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.provisiond.pull import LONGEST, Vault, Web, origin

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["pull", "url", "rmb", "x"]), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"pull": {"url": "http://hub/1", "sha256": "aa"}}, Web("http://hub/1")),
        ({"pull": "http://hub/1"}, Web("http://hub/1")),
        ({"version": 3, "pull": {"rmb": "vault"}}, Vault("vault")),
        ({"pull": {"rmb": ""}}, Vault("")),
        ({"pull": {"url": "", "rmb": 3}}, None),
        ({"version": 3, "type": "vm", "name": "pull"}, None),
        ({"pull": None}, None),
        (["pull"], None),
    ],
)
def test_the_place_is_read(data: object, found: object) -> None:
    assert origin(json.dumps(data).encode()) == found


def test_what_is_longer_than_the_chain_allows_names_nothing() -> None:
    assert origin(b'{"pull":{"url":"' + b"x" * LONGEST + b'"}}') is None


@given(JSON | st.binary(max_size=40))
def test_whatever_is_written_there_is_a_place_or_none(data: object) -> None:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    found = origin(raw)
    assert found is None or (isinstance(found, Web) and found.url) or isinstance(found, Vault)
