"""Request targets in absolute form (`GET http://host/v1/models`), as clients of proxies send them."""

from __future__ import annotations

import re
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

_BEFORE_PATH = re.compile(rb"https?://[^/]*", re.IGNORECASE)


class OriginForm:
    """An application that is asked for a path alone: a server takes either form (RFC 9112, 3.2.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path") or b""
        before = _BEFORE_PATH.match(raw) if scope["type"] == "http" else None
        if before is not None:
            path = raw[before.end() :] or b"/"
            scope = {**scope, "raw_path": path, "path": unquote(path.decode("ascii", "replace"))}
        await self._app(scope, receive, send)
