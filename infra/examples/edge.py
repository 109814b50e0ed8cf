"""An edge that tells whose requests are: signs each with the header `x-refrain-tenant`, with Python alone.

printf '{"v": 1, "body": {...}}' | .venv/bin/python infra/examples/edge.py acme keys.txt

prints the header for a request without key and reply headers. Refrain takes it with `classify.tenants = "header"` and
the same file in `tenants.keys_file`. The form stands in schemas/README.md ("Tenants").
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import sys
import time
from collections.abc import Sequence
from pathlib import Path

HEADER = "x-refrain-tenant"
BOUND = ("reply-to", "kafka_replyTopic", "kafka_replyPartition")
Headers = Sequence[tuple[str, bytes]]


def tenant_header(secret: bytes, tenant: str, at_ms: int, value: bytes, key: bytes = b"", headers: Headers = ()) -> str:
    """The header's value for a request of `tenant`, produced with these key and headers; `at_ms` is now."""
    parts = [b"refrain.tenant.1", tenant.encode(), str(at_ms).encode(), key, value]
    # Only what says where the response goes is signed: trace headers and others may be added later.
    for name, said in headers:
        if name in BOUND:
            parts += [name.encode(), said]
    signed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    mac = base64.urlsafe_b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).rstrip(b"=").decode()
    return f"{tenant}.{at_ms}.{key_id(secret)}.{mac}"


def key_id(secret: bytes) -> str:
    """The id of a key: it says which one signed, and nothing of it."""
    return hashlib.sha256(b"refrain.key-id.1" + secret).hexdigest()[:8]


def first_key(text: str) -> bytes:
    """The key that signs: the first line of the file that is none of blank and comment."""
    lines = [line.strip() for line in text.splitlines()]
    return bytes.fromhex(next(line for line in lines if line and not line.startswith("#")))


def main() -> None:
    """Print the header of the request on standard input."""
    parser = argparse.ArgumentParser(description="Sign a request for a tenant.")
    parser.add_argument("tenant")
    parser.add_argument("keys", type=Path, help="the file of keys: its first one signs")
    given = parser.parse_args()
    secret = first_key(given.keys.read_text(encoding="ascii"))
    print(f"{HEADER}: {tenant_header(secret, given.tenant, time.time_ns() // 1_000_000, sys.stdin.buffer.read())}")


if __name__ == "__main__":
    main()
