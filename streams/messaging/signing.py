"""Signatures: HMAC-SHA-256 with keys that only those have who may sign, and their form in messages.

    signature    KEY_ID.MAC    the key's id (8 hex digits of its digest), and the MAC in base64url

What is signed is a purpose and parts, each with its length before it: no signature is good for another purpose, and no
two lists of parts are the same bytes. Keys are texts of hex digits, one a line: the first signs, each verifies, so that
one can take another's place while messages signed by both are on their way.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence

from refrain.streams.errors import WrongSetup

KEY_BYTES = 32
"""Of a key, at least."""
KEYS_MAX = 8
KEY_ID_CHARS = 8
_KEY = re.compile(rf"(?:[0-9A-Fa-f]{{2}}){{{KEY_BYTES},}}")
_ID_PURPOSE = b"refrain.key-id.1"


class SigningKeys:
    """The keys of one kind of signature, in the order of their file: the first signs, each verifies."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Raises ValueError when there is no key, or a short one."""
        if not keys or any(len(key) < KEY_BYTES for key in keys):
            raise ValueError(f"at least one key of at least {KEY_BYTES} bytes is needed")
        self._keys = {key_id(key): key for key in keys}
        self.ids = tuple(self._keys)
        """Key ids: they may be shown, and tell nothing of a key."""
        self._signing_id = self.ids[0]
        self._signing_key = keys[0]

    def sign(self, purpose: bytes, *parts: bytes) -> str:
        """Signature of the parts for a purpose, by the first key."""
        return f"{self._signing_id}.{_mac(self._signing_key, purpose, parts).decode('ascii')}"

    def verify(self, signature: str, purpose: bytes, *parts: bytes) -> bool:
        """Whether one of the keys made the signature of these parts for this purpose."""
        id_, _, mac = signature.partition(".")
        key = self._keys.get(id_)
        # As bytes, since texts that are compared may hold ASCII alone.
        return key is not None and hmac.compare_digest(mac.encode("utf-8", "replace"), _mac(key, purpose, parts))

    def knows(self, id_: str) -> bool:
        """Whether a key of that id is among these."""
        return id_ in self._keys


def key_id(key: bytes) -> str:
    """Key id: 8 hex digits by which people tell keys apart."""
    return hashlib.sha256(_ID_PURPOSE + key).hexdigest()[:KEY_ID_CHARS]


def key_id_of(signature: str) -> str:
    """The key id in a signature; `?` when it is not a signature."""
    id_ = signature.partition(".")[0]
    return id_ if re.fullmatch(rf"[0-9a-f]{{{KEY_ID_CHARS}}}", id_) else "?"


def parse_keys(text: str, source: str) -> SigningKeys:
    """Parse keys, one a line; blank lines and those with `#` before are left out.

    Raises WrongSetup naming `source` and the line, never what is in it.
    """
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if not _KEY.fullmatch(stripped):
            raise WrongSetup(
                f"{source}: line {number} is no key: give {2 * KEY_BYTES} hex digits, such as `openssl rand -hex"
                f" {KEY_BYTES}` prints"
            )
        keys.append(bytes.fromhex(stripped))
    if not 0 < len(keys) <= KEYS_MAX:
        raise WrongSetup(
            f"{source}: {len(keys)} keys: give one, or at most {KEYS_MAX} (the first signs, each verifies)"
        )
    return SigningKeys(keys)


def _mac(key: bytes, purpose: bytes, parts: Sequence[bytes]) -> bytes:
    said = b"".join(piece for part in (purpose, *parts) for piece in (len(part).to_bytes(8, "big"), part))
    return base64.urlsafe_b64encode(hmac.digest(key, said, "sha256")).rstrip(b"=")
