"""Where an identity provider serves its public keys, by what it says of itself (OpenID Connect Discovery 1.0)."""

from __future__ import annotations

import json

import httpx

from refrain.streams.edge.loopback import is_loopback
from refrain.streams.errors import WrongSetup

WELL_KNOWN = "/.well-known/openid-configuration"
URL_CHARS_MAX = 2_048


def document_url(issuer: str) -> httpx.URL:
    """Where the issuer describes itself. Raises WrongSetup for an issuer whose description others could change."""
    instead = "or set jwt.jwks_url or jwt.jwks_file"
    url = checked_url(issuer, "jwt.issuer", instead)
    if url.query or url.fragment:
        raise WrongSetup(f"jwt.issuer has a query or fragment, so nothing can be found by it: mend it, {instead}")
    return httpx.URL(issuer.removesuffix("/") + WELL_KNOWN)


def keys_url_in(data: bytes, issuer: str) -> httpx.URL:
    """Where a description of the issuer says that its keys are. Raises ValueError for one of no use, or of another."""
    try:
        told = json.loads(data)
        named, place = told["issuer"], told["jwks_uri"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("it is no description of a provider: an object with `issuer` and `jwks_uri`") from None
    if named != issuer:
        # One provider may not speak for another: so the specification has it, letter by letter.
        raise ValueError("it describes another issuer than jwt.issuer: they must be the same, letter by letter")
    if not isinstance(place, str) or len(place) > URL_CHARS_MAX:
        raise ValueError(f"its `jwks_uri` is no text of at most {URL_CHARS_MAX} characters")
    try:
        return checked_url(place, "its `jwks_uri`")
    except WrongSetup as wrong:
        raise ValueError(str(wrong)) from None


def checked_url(text: str, name: str, instead: str = "") -> httpx.URL:
    """A URL whose answer nobody on the way can change. Raises WrongSetup, which says what else can be done."""
    end = f"; mend it, {instead}" if instead else ""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as wrong:
        raise WrongSetup(f"{name} is no URL: {wrong}{end}") from wrong
    if url.userinfo:
        raise WrongSetup(f"{name} holds a password: public keys need none{end}")
    if not url.host or not (url.scheme == "https" or (url.scheme == "http" and is_loopback(url.host))):
        raise WrongSetup(f"{name} is https, or http on loopback: it is {text!r}{end}")
    return url
