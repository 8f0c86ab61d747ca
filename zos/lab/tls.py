"""The lab's own certificate authority, for clients that insist on TLS; made once per lab."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from zos.runtime import secret
from zos.runtime.files import write_atomic

LIFETIME = datetime.timedelta(days=365)


def make(folder: Path, servers: Iterable[str]) -> None:
    """`ca.pem`, and `server.pem` with `server.key` for these addresses and names; the folder appears whole."""
    if folder.exists():
        return
    draft = folder.with_suffix(".draft")
    draft.mkdir(parents=True, exist_ok=True)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name, name = _name("zos lab CA"), _name("zos lab")
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    ca = _builder(ca_name, ca_name, ca_key.public_key(), x509.BasicConstraints(True, 0)).add_extension(usage, True)
    names = x509.SubjectAlternativeName([_alternative(name) for name in servers])
    server = (
        _builder(name, ca_name, key.public_key(), x509.BasicConstraints(False, None))
        .add_extension(names, False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False)
    )
    for file, builder in (("ca.pem", ca), ("server.pem", server)):
        text = builder.sign(ca_key, hashes.SHA256()).public_bytes(Encoding.PEM)
        write_atomic(draft / file, text, mode=0o644)
    # The authority's key is not kept: nobody can make another certificate that a lab's clients would trust.
    secret.write(draft / "server.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    draft.rename(folder)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, constraints: x509.BasicConstraints
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(constraints, True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
    )
