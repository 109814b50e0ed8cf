"""Addresses in settings: what is none is told where it is read, and not when nobody answers there."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

_BROKER = re.compile(
    r"(?:(?:plaintext|ssl|sasl_plaintext|sasl_ssl)://)?(\[[0-9a-f:.]+\]|[^/:@\s]+)(?::(\d{1,5}))?", re.I
)
PORT_MAX = 65_535
CHAT_PATH = "/chat/completions"
"""Where a model's server answers chat requests, below its root."""


def _brokers(value: str) -> str:
    for one in value.split(","):
        found = _BROKER.fullmatch(one.strip())
        # librdkafka takes any number for a port, and calls what is left of it in 16 bits.
        if found is None or (found[2] is not None and not 0 < int(found[2]) <= PORT_MAX):
            raise _wrong("must be host:port, with commas between several, such as broker-1:9092,broker-2:9092")
    return value


def _root(value: str) -> str:
    try:
        found = urlsplit(value)
        good = found.scheme in ("http", "https") and bool(found.hostname) and (found.port is None or found.port > 0)
    except ValueError:
        good = False
    if not good:
        raise _wrong("must be the server's root with http:// or https://, such as http://127.0.0.1:8000/v1")
    if found.path.rstrip("/").endswith(CHAT_PATH):
        raise _wrong(f"must be the server's root, without {CHAT_PATH}: such as http://127.0.0.1:8000/v1")
    return value


def _wrong(text: str) -> PydanticCustomError:
    return PydanticCustomError("address", "{text}", {"text": text})


Brokers = Annotated[str, AfterValidator(_brokers)]
"""Bootstrap servers, with commas between them."""
Root = Annotated[str, AfterValidator(_root)]
"""The root of an OpenAI-compatible server."""
