"""Tokens: whom a token of an identity provider (a JWT, RFC 7519) lets in, and for which tenant.

Nothing of a token is believed before its signature is verified, but for the id of the key and the algorithm, which
choose among what the settings allow. Nothing of it is told in errors or logs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx
import jwt

from refrain.schemas.names import NAME_PATTERN
from refrain.streams.edge.jwks import FileKeys, KeySource, KeysUnavailable, UrlKeys
from refrain.streams.edge.problems import HttpProblem, unauthorized
from refrain.streams.errors import WrongSetup
from refrain.streams.settings import Jwt

CHALLENGE = 'Bearer error="invalid_token"'
REQUIRED = ("exp", "iss", "aud")
TIMES = ("exp", "nbf", "iat")
NOT_TAKEN = ("b64", "crit")
"""Parameters of a header that change what is signed; no provider of access tokens needs them."""
SAID: Mapping[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "the token has expired: get a new one",
    jwt.ImmatureSignatureError: "the token is not valid yet: look at the clocks of its issuer and of this machine",
    jwt.InvalidAudienceError: "the token is for another audience: ask its issuer for one with jwt.audience in `aud`",
    jwt.InvalidIssuerError: "the token is of another issuer: get one of jwt.issuer",
    jwt.InvalidKeyError: "the key of the token's issuer is too short: it must use one of 2048 bits or more",
    jwt.InvalidSignatureError: "the token's signature is not its issuer's: get a new one",
}
"""What is wrong with a token, and what to do."""
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_NAME = re.compile(NAME_PATTERN)
_STEP = re.compile(r"(?:[^~]|~[01])*")


class TokenCheck:
    """Checks tokens as the settings say, with the keys of `source`."""

    def __init__(self, settings: Jwt, source: KeySource) -> None:
        """Raises WrongSetup for a claim that no JSON Pointer names."""
        self._settings = settings
        self.source = source
        self._path = claim_path(settings.tenant_claim)
        self._jwt = jwt.PyJWT({"require": list(REQUIRED), "enforce_minimum_key_length": True})

    async def tenant(self, token: str) -> str:
        """The tenant whose token it is. Raises HttpProblem(401), (503) where the keys cannot be had."""
        if len(token) > self._settings.token_bytes_max:
            raise _refused(
                f"the token is longer than {self._settings.token_bytes_max} bytes: get one with fewer claims"
            )
        id_, algorithm = self._named(token)
        try:
            key = await self.source.find(id_, algorithm)
        except KeysUnavailable:
            text = "the keys of the token's issuer cannot be had: try again in a moment"
            raise HttpProblem(503, "keys_unavailable", text, headers={"retry-after": "1"}) from None
        if key is None:
            raise _refused("no key of the token's issuer is the one that it names: get a new token")
        return self._tenant_in(self._claims(token, key, algorithm))

    async def close(self) -> None:
        """Let go of connections."""
        await self.source.close()

    def _named(self, token: str) -> tuple[str | None, str]:
        """The key's id and the algorithm that the token names, the latter allowed."""
        if _FORM.fullmatch(token) is None:
            raise _refused("it is no key and no token of three parts: show one as `Authorization: Bearer ...`")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError):
            raise _refused("the token's header cannot be read: get a new token") from None
        if any(name in header for name in NOT_TAKEN):
            raise _refused("the token's header asks for what is not taken: get one without `crit` and `b64`")
        algorithm = header.get("alg")
        if algorithm not in self._settings.algorithms:
            raise _refused(f"the token is not signed by one of {', '.join(self._settings.algorithms)}")
        return header.get("kid"), str(algorithm)

    def _claims(self, token: str, key: jwt.PyJWK, algorithm: str) -> Mapping[str, Any]:
        """The claims of a token that is good. Raises HttpProblem(401)."""
        settings = self._settings
        try:
            claims = self._jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=settings.issuer,
                audience=settings.audience,
                leeway=settings.leeway_ms / 1_000,
            )
        except jwt.MissingRequiredClaimError as wrong:
            raise _refused(f"the token has no claim `{wrong.claim}`: its issuer must set it") from None
        except (jwt.PyJWTError, ValueError) as wrong:
            text = next((text for kind, text in SAID.items() if isinstance(wrong, kind)), None)
            raise _refused(text or "the token cannot be read: get a new one") from None
        for name in TIMES:
            # A text or a truth value would be taken for a number.
            if name in claims and (isinstance(claims[name], bool) or not isinstance(claims[name], int | float)):
                raise _refused(f"the token's claim `{name}` is no number: its issuer must set one")
        return claims

    def _tenant_in(self, claims: Mapping[str, Any]) -> str:
        told = self._settings.tenant_claim
        found: Any = claims
        for step in self._path:
            if not isinstance(found, dict) or step not in found:
                raise _refused(f"the token has no claim `{told}`, which names the tenant: its issuer must set it")
            found = found[step]
        if not isinstance(found, str) or _NAME.fullmatch(found) is None:
            raise _refused(f"the token's claim `{told}` is no tenant: 1 to 64 letters, digits, `.`, `_` and `-`")
        return found


def token_check(settings: Jwt, transport: httpx.AsyncBaseTransport | None = None) -> TokenCheck | None:
    """The check that the settings ask for, None where no tokens are taken. Raises WrongSetup for what is missing."""
    if settings.issuer is None:
        asked = [name for name in ("audience", "jwks_url", "jwks_file") if getattr(settings, name) is not None]
        if asked:
            raise WrongSetup(f"jwt.{asked[0]} is set and jwt.issuer is not: set it, or no token is taken")
        return None
    if settings.audience is None:
        raise WrongSetup("jwt.audience is not set: a token that is for another service would let its holder in")
    return TokenCheck(settings, key_source(settings, transport))


def key_source(settings: Jwt, transport: httpx.AsyncBaseTransport | None = None) -> KeySource:
    """Where the keys of the settings come from. Raises WrongSetup."""
    if settings.jwks_url is not None and settings.jwks_file is not None:
        raise WrongSetup("jwt.jwks_url and jwt.jwks_file are both set: the issuer's public keys come from one of them")
    if settings.jwks_file is not None:
        return FileKeys(settings.jwks_file, settings.algorithms)
    return UrlKeys(settings, transport)


def claim_path(claim: str) -> tuple[str, ...]:
    """The names from the claims down to one: of a JSON Pointer (RFC 6901) its parts. Raises WrongSetup."""
    if not claim.startswith("/"):
        return (claim,)
    steps = claim[1:].split("/")
    if not all(_STEP.fullmatch(step) for step in steps):
        raise WrongSetup(f"jwt.tenant_claim {claim!r} is no JSON Pointer: `~` is written `~0`, `/` in a name `~1`")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in steps)


def _refused(text: str) -> HttpProblem:
    return unauthorized(text, CHALLENGE)
