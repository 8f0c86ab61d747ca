"""The user's vault: its folder, and by which relays nodes reach it."""

from __future__ import annotations

from pathlib import Path

import pytest

from zos.cli.client.relays import NoRelay, Route, route
from zos.cli.client.vault import NotFetched, VaultStore
from zos.model.challenge import deployment_hash
from zos.model.decode import parse
from zos.model.deployment import Deployment, decode


def deployment(name: str) -> Deployment:
    return decode({"version": 0, "twin_id": 26, "contract_id": 0, "metadata": name, "description": "", "workloads": []})


@pytest.mark.parametrize(
    ("urls", "on_chain", "found"),
    [
        ([], "relay.grid.tf", Route(("wss://relay.grid.tf",), "relay.grid.tf")),
        ([], "a.tf_b.tf", Route(("wss://a.tf", "wss://b.tf"), "a.tf_b.tf")),
        (["ws://198.51.100.12"], "", Route(("ws://198.51.100.12",), "198.51.100.12")),
        (["wss://b.tf/"], "a.tf", Route(("wss://b.tf/",), "a.tf_b.tf")),
        (["wss://b.tf", "wss://b.tf:444"], "b.tf_a.tf", Route(("wss://b.tf", "wss://b.tf:444"), "b.tf_a.tf")),
    ],
)
def test_the_relays_are_those_given_and_the_twin_keeps_what_it_names(
    urls: list[str], on_chain: str, found: Route
) -> None:
    assert route(urls, on_chain) == found


def test_without_any_relay_the_next_move_is_told() -> None:
    with pytest.raises(NoRelay) as refused:
        route([], "")
    assert "ZOS_RELAY" in refused.value.advice()


def test_a_document_is_found_by_its_node_alone_and_is_its_owners_to_read(tmp_path: Path) -> None:
    store, one = VaultStore(tmp_path / "vault"), deployment("one")
    hash = deployment_hash(one).hex()
    store.put(7, one)
    found = store.find(7, hash)
    assert found is not None
    assert decode(parse(found)) == one
    assert store.find(8, hash) is None
    assert store.entries() == [(7, hash)]
    (path,) = (tmp_path / "vault").iterdir()
    assert path.stat().st_mode & 0o077 == 0
    store.drop(deployment("other"))
    assert store.entries() == [(7, hash)]
    store.drop(one)
    assert store.entries() == []


async def test_it_is_known_which_node_has_not_come(tmp_path: Path) -> None:
    store, one, two = VaultStore(tmp_path), deployment("one"), deployment("two")
    store.put(7, one)
    store.put(8, two)
    store.mark_fetched(7, deployment_hash(one).hex())
    with pytest.raises(NotFetched, match="twin 8"):
        await store.wait_until_fetched(0.01)
    store.mark_fetched(8, deployment_hash(two).hex())
    await store.wait_until_fetched(0.01)


def test_one_process_serves_a_vault(tmp_path: Path) -> None:
    with VaultStore(tmp_path).locked() as ours:
        assert ours
        with VaultStore(tmp_path).locked() as second:
            assert not second
    with VaultStore(tmp_path).locked() as again:
        assert again
