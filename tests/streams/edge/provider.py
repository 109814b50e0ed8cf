"""An identity provider: keys that are made here, tokens signed by them, and the key set as it would serve it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from refrain.streams.settings import Jwt

ISSUER = "https://login.example.org/realms/shop"
AUDIENCE = "refrain"


@cache
def private_key(kid: str, algorithm: str) -> Any:
    """A key of this id, made once."""
    if algorithm.startswith("ES"):
        return ec.generate_private_key({"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1()}[algorithm])
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65_537, 1_024 if kid == "short" else 2_048)


def public_jwk(name: str, algorithm: str, **more: Any) -> dict[str, Any]:
    """The public half as a provider serves it."""
    made = get_default_algorithms()[algorithm].to_jwk(private_key(name, algorithm).public_key(), as_dict=True)
    return {**made, "kid": name, "use": "sig", **more}


def jwks(*kids: str, algorithm: str = "ES256", **more: Any) -> bytes:
    """A key set with keys of these ids."""
    return json.dumps({"keys": [public_jwk(kid, algorithm, **more) for kid in kids]}).encode()


def claims(**more: Any) -> dict[str, Any]:
    """The claims of a good token, some replaced; those of None are left out."""
    now_s = int(time.time())
    all_ = {"iss": ISSUER, "aud": AUDIENCE, "iat": now_s, "exp": now_s + 300, "tenant": "acme", **more}
    return {name: value for name, value in all_.items() if value is not None}


def token(kid: str | None = "a", algorithm: str = "ES256", header: Mapping[str, Any] | None = None, **more: Any) -> str:
    """A token, good where nothing is replaced."""
    named = {} if kid is None else {"kid": kid}
    return by_key(private_key(kid or "a", algorithm), algorithm, {**named, **(header or {})}, claims(**more))


def by_key(key: Any, algorithm: str, header: Mapping[str, Any], payload: Mapping[str, Any]) -> str:
    """A token of these parts, whatever they hold."""
    parts = f"{packed({'typ': 'JWT', 'alg': algorithm, **header})}.{packed(payload)}"
    signs = get_default_algorithms()[algorithm]
    return f"{parts}.{encoded(signs.sign(parts.encode(), signs.prepare_key(key)))}"


def packed(value: Any) -> str:
    """A part of a token."""
    return encoded(json.dumps(value).encode())


def encoded(data: bytes) -> str:
    """Base64 as tokens have it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def settings_of_tokens(**more: Any) -> Jwt:
    """Settings that take the tokens of this provider."""
    return Jwt.model_validate({"issuer": ISSUER, "audience": AUDIENCE, **more})


def hmac_token(secret: bytes, **header: Any) -> str:
    """A token by a shared secret: what one makes who takes a public key for one."""
    parts = f"{packed({'typ': 'JWT', 'alg': 'HS256', 'kid': 'a', **header})}.{packed(claims())}"
    return f"{parts}.{encoded(hmac.new(secret, parts.encode(), hashlib.sha256).digest())}"


class JwksServer:
    """The provider's key set on a port of this machine; `status` is what it answers.

    As the issuer `issuer` it says where the keys are: what it says is `described`.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.status = 200
        self.asked = 0
        self.paths: list[str] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                provider.paths.append(self.path)
                data = provider.described if self.path.endswith("/openid-configuration") else provider.data
                self.send_response(provider.status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                """Nothing on the screen."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_port}/realms/shop"
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"
        self.described = json.dumps({"issuer": self.issuer, "jwks_uri": self.url}).encode()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
