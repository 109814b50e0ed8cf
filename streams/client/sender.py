"""Key and headers of a request, as `classify.tenants` wants them to tell whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refrain.streams.messaging.signing import SigningKeys, parse_keys
from refrain.streams.messaging.tenant_header import HEADER, sign_tenant

if TYPE_CHECKING:
    from collections.abc import Callable

    from refrain.schemas.requests import Request
    from refrain.streams.kafka.interface import Headers
    from refrain.streams.settings import Settings


class Sender:
    """Gives each request the key and the headers that it is sent with; `now_ms` is the time of day."""

    def __init__(self, settings: Settings, now_ms: Callable[[], int]) -> None:
        """Raises WrongSetup for a signing key that cannot be used."""
        self._by_key = settings.classify.tenants == "key"
        self._now_ms = now_ms
        self._keys: SigningKeys | None = None
        if settings.classify.tenants == "header" and settings.tenants.keys is not None:
            self._keys = parse_keys(settings.tenants.keys.get_secret_value(), "tenants.keys")

    def addressed(self, request: Request, key: bytes, headers: Headers, value: bytes) -> tuple[bytes, Headers]:
        """Key and headers of a request whose message is `value`, from those that it would have otherwise."""
        if self._by_key:
            return request.tenant.encode() + b"/" + key, headers
        if self._keys is None:
            return key, headers
        signed = sign_tenant(self._keys, request.tenant, self._now_ms(), key, headers, value)
        return key, (*headers, (HEADER, signed))
