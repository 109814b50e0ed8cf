"""The public keys of an identity provider (a JWK set, RFC 7517): read, kept, and had again from a file or a URL.

A set that cannot be had again stays in force for `jwt.jwks_stale_ms`: tokens that were good are good while the provider
is down. Whoever sends tokens of unknown keys makes the provider be asked once in `jwt.jwks_retry_ms`, and not oftener.
Where no URL is named the provider says it (`discovery`), again each time that its keys are fetched.
"""

from __future__ import annotations

import asyncio
import json
import logging
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx
import jwt

from refrain.streams.edge.discovery import checked_url, document_url, keys_url_in
from refrain.streams.edge.file_mark import file_mark
from refrain.streams.errors import WrongSetup
from refrain.streams.settings import Jwt

SET_BYTES_MAX = 1_000_000
KEYS_MAX = 1_000
HEADERS = {"accept": "application/json", "accept-encoding": "identity"}
"""What comes packed could be far larger than what was sent."""
LOOK_AGAIN_S = 1.0
"""How soon a changed file counts."""
ALGORITHMS_OF: Mapping[tuple[object, object], tuple[str, ...]] = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
"""What a key of a type and curve can verify."""

logger = logging.getLogger(__name__)


class KeysUnavailable(Exception):
    """The keys cannot be had now. The message tells why, for the log and the operator."""


class KeySet:
    """Keys that verify tokens, by id and algorithm."""

    def __init__(self, keys: Iterable[tuple[str | None, str, jwt.PyJWK]]) -> None:
        self._keys: dict[tuple[str | None, str], list[jwt.PyJWK]] = {}
        for id_, algorithm, key in keys:
            self._keys.setdefault((id_, algorithm), []).append(key)
        self.ids = frozenset(id_ for id_, _ in self._keys)

    def __len__(self) -> int:
        return len({id(key) for keys in self._keys.values() for key in keys})

    def find(self, id_: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key of that id; for a token that names none, the only key of its algorithm. None where there is no such,
        or more than one."""
        if id_ is not None:
            found = self._keys.get((id_, algorithm), [])
        else:
            found = [key for (_, signs), keys in self._keys.items() if signs == algorithm for key in keys]
        return found[0] if len(found) == 1 else None


def read_set(data: bytes, algorithms: Iterable[str]) -> KeySet:
    """The keys of a JWK set that verify by one of these algorithms. Raises ValueError where there is none.

    Keys of other types and uses, and private and symmetric ones, are passed over: a provider serves them side by side.
    """
    try:
        keys = json.loads(data)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("it is no JWK set: an object with a list `keys`") from None
    if not isinstance(keys, list) or len(keys) > KEYS_MAX:
        raise ValueError(f"`keys` is no list of at most {KEYS_MAX} keys")
    allowed = frozenset(algorithms)
    found = [one for key in keys if isinstance(key, dict) for one in _verifying(key, allowed)]
    if not found:
        raise ValueError(f"it has no public key that verifies by {', '.join(sorted(allowed))}")
    return KeySet(found)


def _verifying(key: Mapping[str, Any], allowed: frozenset[str]) -> Iterable[tuple[str | None, str, jwt.PyJWK]]:
    """The key, once for each of the algorithms by which it may verify."""
    id_, operations, own = key.get("kid"), key.get("key_ops", ["verify"]), key.get("alg")
    kind, curve = key.get("kty"), key.get("crv")
    if not (id_ is None or isinstance(id_, str)) or not isinstance(kind, str) or not isinstance(curve, str | None):
        return
    if "d" in key or key.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return
    for algorithm in ALGORITHMS_OF.get((kind, curve), ()):
        if algorithm not in allowed or own not in (None, algorithm):
            continue
        try:
            yield id_, algorithm, jwt.PyJWK(dict(key), algorithm)
        except (jwt.PyJWTError, ValueError, TypeError):
            return


class KeySource(Protocol):
    """Where keys come from."""

    @property
    def asked(self) -> str:
        """The file or URL that was asked last."""

    async def find(self, id_: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key, None where the provider has no such. Raises KeysUnavailable."""

    async def keys(self) -> KeySet:
        """All keys, as they are known. Raises KeysUnavailable."""

    async def close(self) -> None:
        """Let go of connections."""


class FileKeys:
    """Keys of a file, looked at again when it has changed. `clock` gives seconds."""

    def __init__(self, path: Path, algorithms: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file. Raises WrongSetup where it cannot be read, holds no keys, or others may change it."""
        self._path = path
        self.asked = str(path)
        self._algorithms = tuple(algorithms)
        self._clock = clock
        self._seen, self._looked_s = file_mark(self._path), clock()
        self._set = self._read()

    async def find(self, id_: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key, None where the file has no such."""
        now_s = self._clock()
        if now_s - self._looked_s >= LOOK_AGAIN_S:
            self._looked_s = now_s
            mark = file_mark(self._path)
            if mark != self._seen:
                self._seen = mark
                self._read_again()
        return self._set.find(id_, algorithm)

    async def keys(self) -> KeySet:
        """All keys of the file."""
        return self._set

    async def close(self) -> None:
        """Nothing is open."""

    def _read_again(self) -> None:
        try:
            self._set = self._read()
        except WrongSetup as problem:
            # A torn file must not end the service.
            logger.warning("keys of tokens stay as they were: %s", problem)

    def _read(self) -> KeySet:
        try:
            if stat.S_IMODE(self._path.stat().st_mode) & (stat.S_IWGRP | stat.S_IWOTH):
                raise WrongSetup(f"other users may change {self._path}: run `chmod go-w {self._path}`")
            return read_set(self._path.read_bytes(), self._algorithms)
        except OSError as error:
            raise WrongSetup(f"jwt.jwks_file {self._path} cannot be read: {error.strerror or error}") from error
        except ValueError as error:
            raise WrongSetup(f"jwt.jwks_file {self._path} is of no use: {error}") from error


class UrlKeys:
    """Keys that a provider serves. `transport` stands in for the network in tests; `clock` gives seconds."""

    def __init__(
        self,
        settings: Jwt,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises WrongSetup for a URL that is none, or one whose answer others on the way could change."""
        self._described = settings.jwks_url is None
        """Whether the provider says where its keys are."""
        if settings.jwks_url is None:
            self._url = document_url(settings.issuer or "")
        else:
            self._url = checked_url(settings.jwks_url, "jwt.jwks_url")
        self._settings = settings
        self._clock = clock
        self._set: KeySet | None = None
        self._had_s = self._tried_s = -float("inf")
        self._problem = "it has not been asked yet"
        self.asked = str(self._url)
        """The URL that was asked last."""
        self._fetching: asyncio.Task[None] | None = None
        self._client = httpx.AsyncClient(trust_env=False, transport=transport, timeout=settings.jwks_timeout_ms / 1_000)

    async def find(self, id_: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key, None where the provider has no such. Raises KeysUnavailable."""
        found = None if (known := self._current()) is None else known.find(id_, algorithm)
        if found is not None:
            if self._clock() - self._had_s >= self._settings.jwks_refresh_ms / 1_000:
                # The key counts meanwhile: nobody waits for what is fetched in good time.
                self._fetch_again()
            return found
        if known is None or id_ not in known.ids:
            known = await self.keys()
        return known.find(id_, algorithm)

    async def keys(self) -> KeySet:
        """All keys, fetched now where the last fetching is not too short ago. Raises KeysUnavailable."""
        fetching = self._fetch_again()
        if fetching is not None:
            # Others may wait for the same: one that leaves must not end it.
            await asyncio.shield(fetching)
        known = self._current()
        if known is None:
            raise KeysUnavailable(self._problem)
        return known

    async def close(self) -> None:
        """End what is being fetched, and close the connections."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
        await self._client.aclose()

    def _current(self) -> KeySet | None:
        """The keys, None where there are none or they are stale."""
        return self._set if self._clock() - self._had_s < self._settings.jwks_stale_ms / 1_000 else None

    def _fetch_again(self) -> asyncio.Task[None] | None:
        """The fetching that is under way, or begins; None where the last one is not long ago."""
        now_s = self._clock()
        if self._fetching is None and now_s - self._tried_s >= self._settings.jwks_retry_ms / 1_000:
            self._tried_s = now_s
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetched)
        return self._fetching

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(self._settings.jwks_timeout_ms / 1_000):
                self._set = read_set(await self._get(await self._place()), self._settings.algorithms)
            self._had_s = self._clock()
        except TimeoutError:
            self._problem = f"no answer within {self._settings.jwks_timeout_ms} ms"
        except httpx.HTTPError as error:
            self._problem = f"the connection failed ({type(error).__name__})"
        except ValueError as error:
            self._problem = str(error)
        else:
            return
        left = "" if self._current() is None else "; those known count on"
        logger.warning("the keys of tokens cannot be had from %s: %s%s", self.asked, self._problem, left)

    async def _place(self) -> httpx.URL:
        """The URL of the keys. Raises as `_get`, and ValueError for a description of no use."""
        self.asked = str(self._url)
        if not self._described:
            return self._url
        found = keys_url_in(await self._get(self._url), self._settings.issuer or "")
        self.asked = str(found)
        return found

    async def _get(self, url: httpx.URL) -> bytes:
        """What a URL serves. Raises httpx.HTTPError, or ValueError for an answer of no use."""
        data = bytearray()
        async with self._client.stream("GET", url, headers=HEADERS) as response:
            if response.status_code != 200:
                raise ValueError(f"it answered {response.status_code}")
            async for part in response.aiter_raw():
                data += part
                if len(data) > SET_BYTES_MAX:
                    raise ValueError(f"the answer is larger than {SET_BYTES_MAX} bytes")
        return bytes(data)
