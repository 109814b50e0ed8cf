"""The doctor's look at the keys of tokens: whether the identity provider serves some that verify."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from refrain.ops.observe.findings import Finding

if TYPE_CHECKING:
    import httpx

    from refrain.streams.edge.jwks import KeySource
    from refrain.streams.settings import Jwt, Settings

CHECK = "tokens"
FETCH_MS = 4_000
"""How long the provider may take."""


def tokens(settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> list[Finding]:
    """Can the public keys of tokens be had? Nothing where none are taken. `transport` is for tests.

    Raises WrongSetup for settings that lack one.
    """
    from refrain.streams.edge.tokens import token_check

    chosen = settings.jwt.model_copy(update={"jwks_timeout_ms": min(FETCH_MS, settings.jwt.jwks_timeout_ms)})
    check = token_check(chosen, transport)
    return [] if check is None else [asyncio.run(_look(chosen, check.source))]


async def _look(chosen: Jwt, source: KeySource) -> Finding:
    from refrain.streams.edge.jwks import KeysUnavailable

    try:
        count = len(await source.keys())
    except KeysUnavailable as problem:
        do = "look at the provider and the settings `jwt`: tokens are refused with 503 once known keys are stale"
        return Finding(CHECK, "fail", f"the keys of tokens cannot be had from {source.asked}: {problem}", do)
    finally:
        await source.close()
    return Finding(CHECK, "ok", f"{count} {'key' if count == 1 else 'keys'} of {chosen.issuer} from {source.asked}")
