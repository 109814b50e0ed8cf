"""A server that says in its error what it was sent gives no credential away, to whoever reads the completion."""

from __future__ import annotations

import asyncio
import base64
import json
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from refrain.schemas.forwards import Forward
from refrain.streams.messaging.credentials import PART_CHARS
from refrain.streams.settings import Upstream
from refrain.streams.upstream.http_model import HttpModel
from refrain.streams.upstream.model import completion_of

KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=48)
STATUSES = st.sampled_from([200, 400, 401, 403, 500, 503])
LONGER = PART_CHARS + 4
"""A run of the key that no other text of the test holds."""
FORWARD = Forward(
    forward_id="0-7-abc",
    model="m",
    body={"model": "m", "messages": [{"role": "user", "content": "What does the patient in room seven have?"}]},
    deadline_at_ms=10**12,
    route="r",
)


def echoes(request: httpx.Request) -> dict[str, str]:
    """What a server may tell of a request."""
    sent = request.headers.get("authorization", "")
    credential = sent.partition(" ")[2]
    return {
        "headers as JSON": json.dumps(dict(request.headers)),
        "headers as lines": "\n".join(f"{name}: {value}" for name, value in request.headers.items()),
        "headers as Python": str(request.headers.raw),
        "the header": f"cannot take {sent}, sorry",
        "the credential": f"you do not exist, {credential}",
        "its beginning": f"key {credential[: len(credential) * 2 // 3]}... is over",
        "its end": f"key ...{credential[len(credential) // 3 :]} is over",
        "in a URL": f"GET http://other/?k={quote(credential, safe='')} failed",
        "in base64": f"cannot read {base64.b64encode(sent.encode()).decode()} at all",
        "URL": f"{request.url} does not answer",
    }


def completion(status: int, echo: str, *, as_code: bool = False, **settings: object) -> str:
    """What the completion says of a call that a server answers with an error which holds that."""

    def answer(request: httpx.Request) -> httpx.Response:
        said = echoes(request)[echo]
        return httpx.Response(status, json={"error": {"message": said, "code": said if as_code else "bad"}})

    return asyncio.run(_called(httpx.MockTransport(answer), Upstream.model_validate({"retries": 0, **settings})))


async def _called(transport: httpx.AsyncBaseTransport, settings: Upstream) -> str:
    model = HttpModel(settings, lambda: 0, transport=transport)
    try:
        answer = await model.answer(FORWARD)
    finally:
        await model.close()
    assert answer.problem is not None
    written = completion_of("f", "r", answer, 1).encode()
    return str(json.loads(written)["error"]["message"])


@pytest.mark.parametrize("echo", echoes(httpx.Request("GET", "http://h/")))
@given(key=KEYS, status=STATUSES)
def test_no_part_of_the_key_is_in_the_completion(echo: str, key: str, status: int) -> None:
    told = completion(status, echo, base_url="http://models/v1", api_key=SecretStr(key))
    assert not leaked(key, told)


@pytest.mark.parametrize("echo", ["headers as JSON", "the credential", "in base64", "URL"])
def test_nor_the_user_and_password_of_the_address(echo: str) -> None:
    told = completion(401, echo, base_url="http://robot-17:Zq7rT0pLw2xx@models/v1")
    assert not leaked("Zq7rT0pLw2xx", told)


def test_nor_is_it_told_as_a_code() -> None:
    told = completion(
        200, "the credential", as_code=True, base_url="http://models/v1", api_key=SecretStr("sk-a1b2c3d4")
    )
    assert "a1b2c3d4" not in told


def leaked(key: str, told: str) -> bool:
    """Whether a part of the key, also as it stands in JSON, in a URL or in base64, is told."""
    coded = base64.b64encode(f"Bearer {key}".encode()).decode()
    for written in (key, json.dumps(key)[1:-1], quote(key, safe=""), coded[LONGER:]):
        parts = (written[at : at + LONGER] for at in range(len(written) - LONGER + 1))
        if any(part in told for part in parts):
            return True
    return False
