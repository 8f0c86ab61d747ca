"""Decoding, challenge, hash and signatures of deployments, by the grid's vectors."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import pytest
import sr25519
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from zos.model import challenge, deployment, signing
from zos.model.decode import Fields, Malformed
from zos.model.deployment import Signature, Workload
from zos.model.tests import vectors

SEED = bytes(range(1, 33))
ED25519 = bytes.fromhex("79b5562e8fe654f94078b112e8a98ba7901f853ae695bed7e0e3910bad049664")
SR25519 = bytes.fromhex("10c68432943c68a6e1be650818b5e08db79e57823de9f34df7ba36d404d91e1d")
SIGNATURES = {
    ("", "ed25519"): "fe8c72b16276e2cddf61639799c95f046e6a3a727e3a6004925d08ed3c3bda6c"
    "830f731d6c11072f9b4deed53e5645903a2fb3bedb29bec9bd69db18b2f0960d",
    ("polka-wallet", "ed25519"): "c971d309872ebf85ceec212bcd51052d10525cb86c7b01a8d68732807d86b063"
    "9c32de8ece9b0724af160e3fd27d09f7c9d4fed9517e3c47867720b25eabb70e",
    ("", "sr25519"): "f431442641d5d6c570712ecbcc8414abd1884c744a4f711b67c1bafa23c62f6c"
    "0b026b9a229d0fdafda5f90f6653bd8d29c35fb6906e53a647380601bce0b88e",
    ("polka-wallet", "sr25519"): "b4599f05c339bae3267d32d9d66ded8904b449f6d8f7bef8f6fcf52394aa6a18"
    "30cebf132118f62450d6781a024e7163fb7bf2334095d17372dd8ea4f6889b88",
}


def decoded(**changes: Any) -> deployment.Deployment:
    return deployment.decode(json.dumps(vectors.deployment() | changes).encode())


@pytest.mark.parametrize(("kind", "name", "data", "text", "md5"), vectors.WORKLOADS, ids=lambda v: str(v)[:20])
def test_a_workload_has_the_grids_challenge(kind: str, name: str, data: dict[str, Any], text: str, md5: str):
    made = challenge.workload_challenge(Workload(0, name, kind, data), challenge.GRID_TYPES)
    assert made == text
    assert hashlib.md5(made.encode()).hexdigest() == md5


def test_the_worked_example_has_the_grids_challenge_and_hash():
    whole = decoded()
    assert len(challenge.deployment_challenge(whole)) == 312
    assert challenge.deployment_hash(whole).hex() == "1fcdb75ce0bccc19c57a0011c5193616"


def test_style_and_version_are_part_of_the_hash():
    polka = deployment.decode(vectors.deployment(style="polka-wallet"))
    assert challenge.deployment_hash(polka).hex() == "37833919a278b74b861d252282eaa7df"
    newer = deployment.decode(vectors.deployment(version=1, disk=(1, 20 * vectors.GiB)))
    assert challenge.deployment_hash(newer).hex() == "854fdb00afb7a0a2e4b6b8d0abf1c5ed"


@pytest.mark.parametrize(("style", "kind"), SIGNATURES)
def test_signatures_of_other_clients_verify(style: str, kind: str):
    whole = deployment.decode(vectors.deployment(style=style))
    digest = challenge.deployment_hash(whole)
    signed = whole.signed_by(Signature(26, SIGNATURES[style, kind].upper(), kind))
    signing.check(signed, digest, {26: ED25519 if kind == "ed25519" else SR25519})


def test_ed25519_is_what_an_unknown_signature_type_means():
    whole = decoded()
    signed = whole.signed_by(Signature(26, SIGNATURES["", "ed25519"], "something"))
    signing.check(signed, challenge.deployment_hash(whole), {26: ED25519})


def test_the_contract_id_results_and_signatures_are_not_hashed():
    whole = decoded()
    forged = vectors.deployment() | {"contract_id": 99}
    forged["workloads"][0]["result"] = {"state": "ok", "data": {"ip": "1.2.3.4/24"}}
    other = deployment.decode(forged)
    assert challenge.deployment_hash(other) == challenge.deployment_hash(whole)
    assert other.workloads[0].result == deployment.Result(), "a client's own result is dropped"


def sign(twin: int, digest: bytes, seed: bytes = SEED) -> Signature:
    return Signature(twin, SigningKey(seed).sign(digest).signature.hex(), "ed25519")


def requirement(weight: int, *requests: tuple[int, bool, int]) -> dict[str, Any]:
    listed = [{"twin_id": twin, "required": needed, "weight": value} for twin, needed, value in requests]
    return {"requests": listed, "weight_required": weight}


OTHER = bytes(32)
KEYS = {26: ED25519, 27: SigningKey(OTHER).verify_key.encode()}


def checked(rule: dict[str, Any], *signers: tuple[int, bytes]) -> None:
    whole = decoded(signature_requirement=rule)
    digest = challenge.deployment_hash(whole)
    signing.check(whole.signed_by(*(sign(twin, digest, seed) for twin, seed in signers)), digest, KEYS)


def test_an_optional_signer_may_be_absent():
    checked(requirement(1, (26, True, 1), (27, False, 1)), (26, SEED))


def test_of_several_signatures_of_a_twin_one_must_hold_and_it_counts_once():
    checked(requirement(1, (26, True, 1)), (26, SEED), (26, OTHER))
    checked(requirement(1, (26, True, 1)), (26, OTHER), (26, SEED))
    checked(requirement(1, (26, True, 1)), *[(26, OTHER)] * (signing.MOST_EACH - 1), (26, SEED))
    with pytest.raises(signing.BadSignature, match="failed to verify signature of twin 26"):
        checked(requirement(1, (26, True, 1)), *[(26, OTHER)] * signing.MOST_EACH, (26, SEED))
    with pytest.raises(signing.BadSignature, match="weight is not reached: 1 of 2"):
        checked(requirement(2, (26, True, 1)), (26, SEED), (26, SEED))


def test_an_optional_signer_that_signs_counts():
    checked(requirement(2, (26, True, 1), (27, False, 1)), (26, SEED), (27, OTHER))


@pytest.mark.parametrize(
    ("rule", "signers", "problem"),
    [
        (requirement(1, (26, False, 1)), (), "missing required signature for twin '26'"),
        (requirement(1, (26, True, 1), (27, True, 1)), ((26, SEED),), "missing required signature for twin '27'"),
        (requirement(2, (26, True, 1), (27, False, 1)), ((26, SEED),), "weight is not reached: 1 of 2"),
        (requirement(1, (26, True, 1)), ((26, OTHER),), "failed to verify signature of twin 26"),
        (requirement(1, (27, True, 1)), ((27, OTHER),), "originator twin id must be in the signature requests"),
        (requirement(1, (26, True, 1)), ((26, OTHER), (26, OTHER)), "failed to verify signature of twin 26"),
        (requirement(2, (26, True, 1), (26, True, 1)), ((26, SEED),), "twin 26 is listed twice"),
        (requirement(1, (26, True, 1), (27, False, 1)), ((26, SEED), (27, SEED)), "verify signature of twin 27"),
    ],
)
def test_a_requirement_that_is_not_met_is_refused(rule: dict[str, Any], signers: Any, problem: str):
    with pytest.raises(signing.BadSignature, match=problem):
        checked(rule, *signers)


@pytest.mark.parametrize("text", ["", "zz", "00" * 63, "00" * 64, "0x" + "00" * 64])
def test_what_is_no_signature_is_refused_and_not_a_crash(text: str):
    whole = decoded()
    for kind in ("ed25519", "sr25519"):
        with pytest.raises(signing.BadSignature):
            signing.check(whole.signed_by(Signature(26, text, kind)), challenge.deployment_hash(whole), KEYS)


def test_an_sr25519_signature_of_ours_verifies():
    public, secret = sr25519.pair_from_seed(SEED)
    assert signing.verify(public, b"m", sr25519.sign((public, secret), b"m"), "sr25519")
    assert not signing.verify(public, b"n", sr25519.sign((public, secret), b"m"), "sr25519")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"version": 1.0}, "version: must be a whole number, not a fraction"),
        ({"version": -1}, "version: -1 is outside"),
        ({"version": 2**32}, "version: 4294967296 is outside"),
        ({"version": True}, "version: must be a whole number, not true or false"),
        ({"workloads": {}}, "workloads: must be a list, not an object"),
        ({"workloads": [3]}, r"workloads\[0\]: must be an object, not a number"),
        ({"workloads": [{"data": "x"}]}, r"workloads\[0\]\.data: must be an object"),
        ({"expiration": "tomorrow"}, "expiration: `tomorrow` is neither"),
        ({"signature_requirement": {"requests": [{"twin_id": "26"}]}}, r"requests\[0\]\.twin_id: must be a whole"),
    ],
)
def test_a_malformed_field_is_refused_by_its_path(change: dict[str, Any], where: str):
    with pytest.raises(Malformed, match=where):
        decoded(**change)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null x", b'{"version": NaN}', b"[" * 100_000, b"9" * 5000])
def test_what_is_no_document_is_refused(data: bytes):
    with pytest.raises(Malformed):
        deployment.decode(data)


def test_keys_match_in_any_case_and_null_is_the_zero_value():
    whole = deployment.decode(b'{"VERSION": 3, "Twin_ID": 26, "metadata": null, "__type": "x"}')
    assert (whole.version, whole.twin_id, whole.metadata, whole.workloads) == (3, 26, "", ())


def test_an_rfc3339_expiration_is_unix_seconds():
    assert deployment.decode(b'{"expiration": "2023-11-14T22:13:20Z"}').expiration == 1_700_000_000


def test_addresses_are_read_canonically():
    fields = Fields({"a": "10.1.2.3/24", "b": "FD00:0::1/64", "c": "::ffff:1.2.3.4", "d": "", "e": "10.1.2.3/024"})
    assert [fields.cidr("a"), fields.cidr("b"), fields.cidr("d")] == ["10.1.2.3/24", "fd00::1/64", ""]
    assert fields.address("c") == "1.2.3.4"
    for bad in ("10.1.2.3", "10.1.2.300/24", "10.01.2.3/24", "10.1.2.3/33", "fe80::1%eth0/64", "10.1.2.3/-1"):
        with pytest.raises(Malformed, match="not an address"):
            Fields({"x": bad}).cidr("x")


@pytest.mark.parametrize(
    ("workloads", "problem"),
    [
        ([("a", "zmount", 1)], r"workloads\[0\]\.version: 1 is above"),
        ([("", "zmount", 0)], r"workloads\[0\]\.name: must have 1 to 36"),
        ([("x" * 37, "zmount", 0)], r"workloads\[0\]\.name: must have 1 to 36"),
        ([("a-b", "zmount", 0)], r"workloads\[0\]\.name: 'a-b' may only have"),
        ([("ygg", "zmount", 0)], r"workloads\[0\]\.name: 'ygg' is a reserved name"),
        ([("a", "zmount", 0), ("a", "volume", 0)], r"workloads\[1\]\.name: multiple workloads with the same name"),
        ([("a", "qsfs", 0)], r"workloads\[0\]\.type: unknown type 'qsfs'; known are volume, zmount"),
    ],
)
def test_structure_is_checked_before_anything_else(workloads: list[tuple[str, str, int]], problem: str):
    listed = [{"name": name, "type": kind, "version": version} for name, kind, version in workloads]
    with pytest.raises(Malformed, match=problem):
        deployment.check_structure(decoded(workloads=listed), ("zmount", "volume"))


def test_older_dialects_of_clients_are_tried_too():
    data = {"subnet": "10.30.2.0/24", "mycelium": {"hex_key": vectors.K}}
    whole = decoded(workloads=[{"name": "netl", "type": "network-light", "data": data}])
    old = f"netlnetwork-light10.30.2.0/24{vectors.K}".encode()
    texts = [challenge.deployment_challenge(whole, kinds) for kinds in (None, challenge.OLD_DIALECT)]
    assert old not in texts[0]
    assert old in texts[1]
    unset = texts[1].replace(b"10.30.2.0", b"<nil>10.30.2.0")
    assert list(challenge.hashes(whole)) == [hashlib.md5(text).digest() for text in (texts[0], unset, texts[1])]


@pytest.mark.parametrize(("name", "body", "md5"), vectors.CLIENTS, ids=[one[0] for one in vectors.CLIENTS])
def test_what_the_typescript_client_hashed_is_among_the_hashes(name: str, body: dict[str, Any], md5: str):
    assert md5 in [digest.hex() for digest in challenge.hashes(deployment.decode(body))]


def test_the_three_dialects_of_network_light_are_told_apart():
    data = {"ip_range": "10.249.0.0/16", "subnet": "10.249.2.0/24", "mycelium": {"hex_key": "aa" * 32}}
    whole = deployment.decode(vectors.client(("labnet", "network-light", data, '{"version":4}')))
    text = '0100labnetnetwork-light{"version":4}10.249.0.0/1610.249.2.0/24' + "aa" * 32 + "1false11"
    with_port = text.replace("/24", "/240")
    assert list(challenge.hashes(whole)) == [hashlib.md5(one.encode()).digest() for one in (with_port, text)]


@pytest.mark.parametrize(
    "more", [{"wireguard_private_key": "A"}, {"wireguard_listen_port": 1}, {"peers": [{"endpoint": "a:1"}]}]
)
def test_no_dialect_leaves_out_what_is_said(more: dict[str, Any]):
    data = {"subnet": "10.249.2.0/24", "mycelium": {"hex_key": "aa" * 32}} | more
    whole = deployment.decode(vectors.client(("labnet", "network-light", data, "")))
    assert len(list(challenge.hashes(whole))) == 1


def test_the_gpu_dialect_repeats_the_list_after_each_entry_of_env():
    data = {"flist": "f", "env": {"B": "2", "A": "1"}, "gpu": ["g/1/2"], "network": {}, "compute_capacity": {}}
    whole = decoded(workloads=[{"name": "vm", "type": "zmachine", "data": data}])
    plain, dialect = challenge.hashes(whole)
    text = challenge.deployment_challenge(whole)
    assert hashlib.md5(text).digest() == plain
    assert hashlib.md5(text.replace(b"A=1B=2g/1/2", b"A=1g/1/2B=2g/1/2")).digest() == dialect


def test_a_stranger_does_not_choose_how_much_is_hashed():
    data = {"flist": "f", "env": {f"{one}": "" for one in range(4000)}, "gpu": ["g" * 50_000], "network": {}}
    whole = decoded(workloads=[{"name": "vm", "type": "zmachine", "data": data}])
    assert list(challenge.hashes(whole)) == [challenge.deployment_hash(whole)]


def test_what_clients_read_back_decodes_to_the_same():
    whole = decoded()
    assert deployment.decode(json.dumps(deployment.encode(whole)).encode()) == whole


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_document_crashes_the_decoder(data: bytes):
    try:
        whole = deployment.decode(data)
        challenge.deployment_hash(dataclasses.replace(whole, workloads=()))
    except Malformed as err:
        assert err.facts["path"] is not None


@given(st.sampled_from(vectors.WORKLOADS), json_values, st.data())
def test_no_data_crashes_a_challenge(vector: Any, value: Any, data: st.DataObject):
    kind, name, fields, _, _ = vector
    if not fields:
        return
    changed = dict(fields) | {data.draw(st.sampled_from(sorted(fields))): value}
    try:
        text = challenge.workload_challenge(Workload(0, name, kind, changed), challenge.GRID_TYPES, "workloads[0]")
    except Malformed as err:
        assert err.facts["path"].startswith("workloads[0].data")
    else:
        assert text.startswith(f"0{name}{kind}")


def test_lone_surrogates_are_hashed_as_replacement_characters():
    whole = deployment.decode(b'{"metadata": "\\ud800x"}')
    assert "\ufffdx".encode() in challenge.deployment_challenge(whole)
