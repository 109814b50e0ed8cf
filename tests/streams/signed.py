"""Routes as they are on the wire, signed with a key of the tests'."""

from __future__ import annotations

from pydantic import SecretStr

from refrain.streams.messaging.routes import DirectRoute, ShardRoute, encode_route
from refrain.streams.messaging.signed_routes import RouteSigner
from refrain.streams.messaging.signing import SigningKeys
from refrain.streams.settings import Routes

KEY = bytes(range(32))
PREFIX = "refrain."
ROUTES = RouteSigner(SigningKeys([KEY]), PREFIX)
SIGNED = Routes(keys=SecretStr(KEY.hex()))
"""The settings of workers that have that key."""


def signed_route(route: ShardRoute | DirectRoute, signer: RouteSigner = ROUTES) -> str:
    """The route of a forward as a connector sees it."""
    return signer.sign(encode_route(route), route.forward_id)
