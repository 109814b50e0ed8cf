"""A requester is told of what was taken and is probably not meant."""

from __future__ import annotations

import pytest

from refrain.schemas.responses import Outcome, Response
from refrain.streams.messaging.responses import reply_of, respond
from refrain.streams.messaging.warnings import HEADER, WARNINGS_MAX, warned, warnings_in, warnings_of

KNOWN = ("code", "chat", "medical")


@pytest.mark.parametrize(
    ("parsed", "category", "told"),
    [
        ({"body": {}, "category": "code"}, "code", []),
        ({"body": {}}, None, []),
        ({"body": {}, "catgory": "x"}, None,
         ["the request has no field 'catgory', it was ignored: did you mean 'category'?"]),
        ({"zzzz": 1}, None, ["the request has no field 'zzzz', it was ignored"]),
        ({"my secret text": 1}, None, ["a field of the request is not known, and was ignored"]),
        ({"Category": 1}, None, ["the request has no field 'Category', it was ignored: did you mean 'category'?"]),
        ({}, "cod", ["the policy has no category 'cod': did you mean 'code'?"]),
        ({}, "xyz", ["the policy has no category 'xyz'"]),
    ],
)  # fmt: skip
def test_a_warning_names_what_does_not_exist_and_the_nearest(
    parsed: dict[str, object], category: str | None, told: list[str]
) -> None:
    assert warnings_of(parsed, category, KNOWN) == told


def test_without_a_policy_no_category_is_wrong() -> None:
    assert warnings_of({}, "cod", None) == []


def test_a_request_of_many_wrong_fields_gets_few_warnings() -> None:
    found = warnings_of({f"field{n}": n for n in range(1_000)}, "cod", KNOWN)
    assert len(found) == WARNINGS_MAX
    assert "category" in found[0]


def test_warnings_travel_in_headers_and_stand_in_the_response() -> None:
    headers = warned(((HEADER, b"the client's own"), ("trace", b"1")), ["first", "second"])
    assert headers == (("trace", b"1"), (HEADER, b"first"), (HEADER, b"second"))
    assert warnings_in(headers) == ("first", "second")
    out = respond(reply_of("responses", None, None, headers), Response(outcome=Outcome.MISS, body={}))
    assert Response.decode(out.value or b"").warnings == ("first", "second")
    assert out.headers == headers


def test_a_response_without_warnings_is_as_it_always_was() -> None:
    response = Response(outcome=Outcome.MISS, body={})
    assert b"warnings" not in response.encode()
    out = respond(reply_of("responses", None, None, ()), response)
    assert out.value == response.encode()
