"""Certificates of a test: an authority of its own, and what it signs for a broker on loopback and for a client."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

VALID = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Certificates:
    """Files (PEM) of an authority, a broker and a client; the client's as PKCS#12 too."""

    authority: Path
    broker: Path
    """Key and certificate in one file."""
    client: Path
    client_key: Path
    """Encrypted with `password`."""
    client_store: Path
    password: str


def certificates(folder: Path, password: str) -> Certificates:
    """Make them all in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = _signed("test authority", root_key, None, root_key)
    made = Certificates(
        authority=folder / "ca.pem",
        broker=folder / "broker.pem",
        client=folder / "client.pem",
        client_key=folder / "client.key",
        client_store=folder / "client.p12",
        password=password,
    )
    made.authority.write_bytes(_pem(root))
    key = ec.generate_private_key(ec.SECP256R1())
    made.broker.write_bytes(_key_pem(key, None) + _pem(_signed("broker", key, root, root_key)))
    key = ec.generate_private_key(ec.SECP256R1())
    client = _signed("client", key, root, root_key)
    made.client.write_bytes(_pem(client))
    made.client_key.write_bytes(_key_pem(key, password))
    encryption = serialization.BestAvailableEncryption(password.encode())
    made.client_store.write_bytes(pkcs12.serialize_key_and_certificates(b"client", key, client, [root], encryption))
    return made


def _signed(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALID)
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    )
    if issuer is None:
        usage = x509.KeyUsage(
            digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(issuer_key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey, password: str | None) -> bytes:
    encryption = (
        serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password.encode())
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
