"""Access: for which tenant a client is let in, by the key or the token that it shows."""

from __future__ import annotations

from starlette.datastructures import Headers

from refrain.streams.edge.keys import BEGINNING, KeyRing, keys_path, pepper_of
from refrain.streams.edge.loopback import is_loopback
from refrain.streams.edge.problems import HttpProblem, unauthorized
from refrain.streams.edge.tokens import TokenCheck, token_check
from refrain.streams.errors import WrongSetup
from refrain.streams.settings import Settings

AUTHORIZATION, API_KEY = "authorization", "x-api-key"


class Access:
    """Who is let in: by `keys`, by `tokens`, by either; with neither, everybody, as `tenant`."""

    def __init__(self, tenant: str, keys: KeyRing | None = None, tokens: TokenCheck | None = None) -> None:
        self._tenant = tenant
        self.keys = keys
        self._tokens = tokens

    async def tenant(self, headers: Headers) -> str:
        """The tenant whose key or token the client shows. Raises HttpProblem(401), (503)."""
        if self.keys is None and self._tokens is None:
            return self._tenant
        shown = self._shown(headers)
        if self._tokens is not None and not shown.startswith(BEGINNING):
            return await self._tokens.tenant(shown)
        key = None if self.keys is None else self.keys.find(shown)
        if key is None:
            raise unauthorized("the API key is unknown or revoked")
        return key.tenant

    async def close(self) -> None:
        """Let go of connections."""
        if self._tokens is not None:
            await self._tokens.close()

    def _shown(self, headers: Headers) -> str:
        for name in (AUTHORIZATION, API_KEY):
            if len(headers.getlist(name)) > 1:
                # Which of them counts, whoever stands between may see otherwise.
                raise unauthorized(f"the header `{name}` comes more than once: send it once")
        kind, _, shown = headers.get(AUTHORIZATION, "").partition(" ")
        shown = shown.strip() if kind.lower() == "bearer" else headers.get(API_KEY, "")
        if not shown:
            raise self._nothing_shown()
        return shown

    def _nothing_shown(self) -> HttpProblem:
        if self.keys is None:
            return unauthorized("a token of the identity provider is needed, as `Authorization: Bearer TOKEN`")
        more = "" if self._tokens is None else ", or a token of the identity provider likewise"
        return unauthorized(
            f"an API key is needed, as `Authorization: Bearer KEY`: `refrain edge keys add` makes one{more}"
        )


def access_of(settings: Settings) -> Access:
    """Who is let in by the settings. Raises WrongSetup where that would let strangers in."""
    edge = settings.edge
    tokens = token_check(settings.jwt)
    if edge.auth == "keys":
        return Access(edge.tenant, KeyRing(keys_path(settings), pepper_of(settings)), tokens)
    if edge.auth == "jwt":
        if tokens is None:
            raise WrongSetup("edge.auth is `jwt` and jwt.issuer is not set: nobody could come in")
        return Access(edge.tenant, None, tokens)
    if tokens is not None:
        raise WrongSetup("edge.auth is `none` and jwt.issuer is set: set edge.auth to jwt, or to keys for both")
    if not is_loopback(edge.host):
        raise WrongSetup(
            f"edge.auth is `none` and edge.host is {edge.host}: whoever reaches it could ask at your cost;"
            " set edge.auth to keys or jwt, or edge.host to 127.0.0.1"
        )
    return Access(edge.tenant)
