"""Ed25519 keys of seals: made, read from PEM files, and what a seal is signed with."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from refrain.ops.data.whole import KEY_BYTES, whole_file
from refrain.ops.terminal.out_files import check_free
from refrain.streams.errors import BadInput, FileUnwritable

MODE = 0o600
PUBLIC_SUFFIX = ".pub"
TAKEN = "a key is not written over; name another file"
PUBLIC_MARK, PRIVATE_MARK = b"PUBLIC KEY-----", b"PRIVATE KEY-----"
"""What the lines of PEM end with that begin and end a key."""
_RAW = serialization.Encoding.Raw, serialization.PublicFormat.Raw


def make_key(path: Path) -> Path:
    """Make a private key, for its owner's eyes alone, and beside it the public one. Returns the latter's path.

    Raises FileUnwritable when one of the files exists or cannot be made.
    """
    check_free(path, TAKEN)
    beside = path.with_name(path.name + PUBLIC_SUFFIX)
    check_free(beside, TAKEN)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write(path, private, MODE)
    _write(beside, public, 0o644)
    return beside


def read_private(path: Path) -> Ed25519PrivateKey:
    """Read a private key. Raises BadInput for what is none, is locked by a passphrase, or is open to others."""
    data = _read(path)
    if PUBLIC_MARK in data:
        raise BadInput(f"{path} is a public key, which signs nothing: give the file that it was made with")
    if PRIVATE_MARK not in data:
        raise BadInput(f"{path} holds no private key (PEM): `refrain audit --make-key FILE` makes one")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise BadInput(f"{path} may be read by others: chmod 600 it, or make another key")
    try:
        key = serialization.load_pem_private_key(data, None)
    except TypeError as error:
        raise BadInput(
            f"{path} is locked by a passphrase, which is not asked for: give a copy without one (`openssl pkey -in"
            f" {path} -out FILE`), or make another key"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadInput(f"{path} holds no private key (PEM) that can be read: it is damaged") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInput(f"{path} is no Ed25519 key: `refrain audit --make-key FILE` makes one")
    return key


def read_public(path: Path) -> str:
    """Read a public key: raw, in hex. Raises BadInput for what is none."""
    data = _read(path)
    if PRIVATE_MARK in data:
        raise BadInput(f"{path} is a private key: keep it, and give the file that ends with {PUBLIC_SUFFIX}")
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadInput(f"{path} holds no public key (PEM): give the file that ends with {PUBLIC_SUFFIX}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise BadInput(f"{path} is no Ed25519 key")
    return key.public_bytes(*_RAW).hex()


def public_of(key: Ed25519PrivateKey) -> str:
    """The public key of a private one: raw, in hex."""
    return key.public_key().public_bytes(*_RAW).hex()


def is_signed(public_key: str, signature: bytes, data: bytes) -> bool:
    """Whether the signature is one of these bytes by the key (raw, in hex)."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _read(path: Path) -> bytes:
    return whole_file(path, KEY_BYTES)


def _write(path: Path, data: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
    except OSError as error:
        raise FileUnwritable(f"{path} cannot be made: {error.strerror}") from error
