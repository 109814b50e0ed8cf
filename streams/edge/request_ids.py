"""Request ids: each response has one in `x-request-id`, the client's own where it sent one, to tell of it later."""

from __future__ import annotations

import re
import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = b"x-request-id"
KEY = "refrain.request_id"
"""Where the scope of a request has its id."""
_TAKEN = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,200}")


class RequestIds:
    """An application whose responses have ids. One that has an id already, of the model's server, keeps it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        id_ = next((value for name, value in scope["headers"] if name == HEADER and _TAKEN.fullmatch(value)), None)
        id_ = id_ or b"req_" + uuid.uuid4().hex.encode()
        scope[KEY] = id_.decode()

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if all(name.lower() != HEADER for name, _ in headers):
                    message = {**message, "headers": [*headers, (HEADER, id_)]}
            await send(message)

        await self._app(scope, receive, told)


def request_id_of(scope: Scope) -> str | None:
    """The id of a request, None outside of the application."""
    return scope.get(KEY)
