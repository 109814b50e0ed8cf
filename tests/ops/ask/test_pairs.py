"""`refrain ask` with sources, `vary` and headers, and the guard that refused with its words in the line."""

from __future__ import annotations

import pytest
import typer

from refrain.ops.ask.client import AskReply
from refrain.ops.ask.command import summary
from refrain.ops.ask.pairs import read_headers, read_sources, read_vary
from refrain.ops.ask.questions import Defaults, read_questions, request_of
from refrain.ops.cli import main
from refrain.schemas.base import Source
from refrain.schemas.responses import DecisionSummary, GuardTold, Outcome, Response
from refrain.streams.edge.wishes import wishes_of


def test_pairs_are_read() -> None:
    assert read_sources(["doc-7=3", "doc-8", "url=a=b"]) == (
        Source(id="doc-7", version="3"),
        Source(id="doc-8"),
        Source(id="url", version="a=b"),
    )
    assert read_sources(["doc-7@3", "me@home@3", "doc-8@", "me@home=3", "a=b@3"]) == (
        Source(id="doc-7", version="3"),
        Source(id="me@home", version="3"),
        Source(id="doc-8"),
        Source(id="me@home", version="3"),
        Source(id="a", version="b@3"),
    )
    assert read_vary(["locale=de", "level=3", 'rights=["a"]', "empty="]) == {
        "locale": "de",
        "level": 3,
        "rights": ["a"],
        "empty": "",
    }
    assert read_headers(["trace=1", "trace=zwei: ä"]) == [("trace", b"1"), ("trace", "zwei: ä".encode())]
    assert (read_sources(None), read_vary(None), read_headers(None)) == ((), {}, [])


@pytest.mark.parametrize("text", ["doc-7", "doc-7@3", "me@home@3", "doc-7@", "a.b/c@2026-03"])
def test_the_endpoint_and_ask_read_a_source_alike(text: str) -> None:
    (here,), there = read_sources([text]), wishes_of([("x-refrain-source", text)]).fields["sources"]
    assert (here.model_dump(),) == there


@pytest.mark.parametrize(
    ("reader", "text", "said"),
    [
        (read_sources, "=3", "names no source"),
        (read_sources, "@3", "names no source"),
        (read_sources, "x" * 300, "names no source"),
        (read_vary, "locale", "write NAME=VALUE"),
        (read_headers, "=v", "write NAME=VALUE"),
    ],
)
def test_what_is_no_pair_is_refused(reader: object, text: str, said: str) -> None:
    assert callable(reader)
    with pytest.raises(typer.BadParameter, match=said):
        reader([text])


def test_a_wrong_pair_is_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "x", "--vary", "locale"]) == 2
    assert main(["ask", "x", "--vary", "a=1", "--vary", "a=2"]) == 2
    assert main(["ask", "x", "--cache", "by-pass"]) == 2
    assert "'bypass'?" in capsys.readouterr().err


def test_they_go_into_requests_of_the_line_and_of_a_file() -> None:
    defaults = Defaults("m", sources=(Source(id="doc"),), vary={"locale": "de"})
    for request in (
        request_of("x", defaults),
        *read_questions(['{"body": {"model": "m", "messages": [{}]}}', '{"question": "y"}'], defaults, "file"),
    ):
        assert request.sources == (Source(id="doc"),)
        assert request.vary == {"locale": "de"}
    (own,) = read_questions(['{"question": "y", "vary": {"locale": "fr"}}'], defaults, "file")
    assert own.vary == {"locale": "fr"}


def test_the_guard_that_refused_stands_in_the_line_with_its_words() -> None:
    guards = (
        GuardTold(entry_id="1", guard="numbers", verdict="refused", words=("30", "days")),
        GuardTold(entry_id="1", guard="order", verdict="refused"),
        GuardTold(entry_id="1", guard="code", verdict="passed"),
    )
    decision = DecisionSummary(id="1", category="code", similarity=0.97, threshold=0.9, guards=guards,
                               reason="guard_refused")  # fmt: skip
    reply = AskReply(
        0, request_of("x", Defaults("m")), Response(outcome=Outcome.MISS, body={}, decision=decision), 12.0
    )
    assert summary(reply).endswith("guard_refused by numbers (30, days), order")
    other = decision.model_copy(update={"reason": "similar_text"})
    assert summary(AskReply(0, reply.request, Response(outcome=Outcome.HIT, body={}, decision=other), 1.0)).endswith(
        "similar_text"
    )
