"""The header `x-refrain-tenant`: an edge that knows who asks signs whose request a record is.

    x-refrain-tenant    TENANT.AT_MS.KEY_ID.MAC    the tenant, when it was signed (ms since the epoch), the signature

Signed are tenant, time, key and value of the record, and the headers that say where its response goes: so the header
of one request is no good for another, nor for having its answer sent elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from refrain.schemas.names import NAME_PATTERN
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.kafka.interface import Headers, Record
from refrain.streams.messaging.progress import HEADER as PROGRESS_HEADER
from refrain.streams.messaging.reply_headers import PARTITION_HEADER, TOPIC_HEADERS
from refrain.streams.messaging.signing import SigningKeys, key_id_of

HEADER = "x-refrain-tenant"
BOUND = frozenset({*TOPIC_HEADERS, PARTITION_HEADER, PROGRESS_HEADER})
"""Headers that are signed with the request; others come back with the response and change nothing."""
HEADER_BYTES_MAX = 256
_PURPOSE = b"refrain.tenant.1"
_FORM = re.compile(r"(?P<tenant>.+)\.(?P<at_ms>[0-9]{1,18})\.(?P<signature>[^.]+\.[^.]+)")
_NAME = re.compile(NAME_PATTERN)


def sign_tenant(keys: SigningKeys, tenant: str, at_ms: int, key: bytes | None, headers: Headers, value: bytes) -> bytes:
    """The header's value for a request of a tenant, with the key, headers and value that it is produced with."""
    signature = keys.sign(_PURPOSE, *_parts(tenant, str(at_ms), key, headers, value))
    return f"{tenant}.{at_ms}.{signature}".encode("ascii")


def tenant_of(record: Record, keys: SigningKeys, valid_ms: int) -> str:
    """The tenant that an edge has signed for a request. Raises Refusal(TENANT_NOT_YOURS).

    It was signed within `valid_ms` of when the broker took the record, before or after by the edge's clock.
    """
    given = [value for name, value in record.headers if name == HEADER]
    if len(given) != 1 or given[0] is None or len(given[0]) > HEADER_BYTES_MAX:
        raise _refused(f"the header {HEADER} is needed, once: send requests through the edge that signs it")
    found = _FORM.fullmatch(given[0].decode("ascii", "replace"))
    if found is None:
        raise _refused(f"the header {HEADER} is not TENANT.AT_MS.KEY_ID.MAC")
    tenant, at_ms, signature = found["tenant"], found["at_ms"], found["signature"]
    parts = _parts(tenant, at_ms, record.key, record.headers, record.value or b"")
    if not keys.verify(signature, _PURPOSE, *parts) or not _NAME.fullmatch(tenant):
        known = keys.knows(key_id_of(signature))
        why = "is not of this request" if known else f"is by key {key_id_of(signature)}, which is not in tenants.keys"
        raise _refused(f"the signature of {HEADER} {why}")
    if abs(record.timestamp_ms - int(at_ms)) > valid_ms:
        raise _refused(f"the signature of {HEADER} is more than {valid_ms} ms off: sign each request as it is sent")
    return tenant


def _parts(tenant: str, at_ms: str, key: bytes | None, headers: Headers, value: bytes) -> Iterator[bytes]:
    yield tenant.encode("utf-8", "replace")
    yield at_ms.encode("ascii")
    yield key or b""
    yield value
    for name, said in headers:
        if name in BOUND:
            yield name.encode("ascii")
            yield said or b""


def _refused(text: str) -> Refusal:
    return Refusal(RefusalCode.TENANT_NOT_YOURS, text)
