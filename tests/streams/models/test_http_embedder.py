"""The HTTP embedder: what it asks, what it takes for vectors, and which failures it waits for."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import SecretStr

from refrain.streams.errors import ModelUnavailable, WrongSetup
from refrain.streams.models.http_embedder import HttpEmbedder
from refrain.streams.models.loading import load_embedder
from refrain.streams.settings import Embedding

KEY = "a-key-of-mine"
Answer = Callable[[httpx.Request], httpx.Response]


def settings(**more: Any) -> Embedding:
    known = {"url": "http://127.0.0.1:1/v1", "identity": "lengths@1", "dimensions": 2, "model": "lengths"}
    return Embedding.model_validate({"backend": "http", **known, **more})


def vector_of(text: str) -> list[float]:
    return [float(len(text)), 1.0]


def openai(request: httpx.Request) -> httpx.Response:
    texts = json.loads(request.content)["input"]
    rows = [{"index": at, "embedding": vector_of(text)} for at, text in enumerate(texts)]
    return httpx.Response(200, json={"object": "list", "data": rows[::-1]})


class Endpoint:
    """An endpoint that answers as it is told, the last way for good, and its client."""

    def __init__(self, *answers: Answer | httpx.Response | Exception, **more: Any) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []
        transport = httpx.MockTransport(self._answer)
        self.embedder = HttpEmbedder(settings(**more), transport=transport, sleep=self.pauses.append)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.requests]


def test_texts_are_asked_for_in_batches_and_each_gets_its_own_vector() -> None:
    endpoint = Endpoint(openai, batch_max=2)
    texts = ["ccc", "a", "bb", "dddd", "a"]
    rows = endpoint.embedder.embed(texts)
    assert rows.dtype == np.float32
    assert rows.tolist() == [vector_of(text) for text in texts]
    assert endpoint.asked == [{"model": "lengths", "input": each} for each in (["a", "a"], ["bb", "ccc"], ["dddd"])]
    assert {str(request.url) for request in endpoint.requests} == {"http://127.0.0.1:1/v1/embeddings"}
    assert endpoint.embedder.embed([]).shape == (0, 2)


def test_the_form_of_tei_is_spoken_where_the_url_is_its_own() -> None:
    def tei(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=[vector_of(text) for text in json.loads(request.content)["inputs"]])

    endpoint = Endpoint(tei, url="http://127.0.0.1:1/embed")
    assert endpoint.embedder.embed(["a", "bb"]).tolist() == [[1, 1], [2, 1]]
    assert endpoint.asked == [{"inputs": ["a", "bb"], "truncate": True}]
    assert str(endpoint.requests[0].url) == "http://127.0.0.1:1/embed"


@pytest.mark.parametrize(
    "failure",
    [httpx.Response(503), httpx.Response(429), httpx.Response(408), httpx.ConnectError("no"), httpx.ReadTimeout("no")],
)
def test_a_failure_that_passes_is_waited_for(failure: httpx.Response | Exception) -> None:
    endpoint = Endpoint(failure, failure, openai)
    assert endpoint.embedder.embed(["a"]).tolist() == [[1, 1]]
    assert len(endpoint.pauses) == 2


def test_a_failure_that_does_not_pass_is_told_as_one_to_wait_out() -> None:
    endpoint = Endpoint(httpx.Response(503), retries=2)
    with pytest.raises(ModelUnavailable, match="answers 503"):
        endpoint.embedder.embed(["a"])
    assert len(endpoint.requests) == 3


def test_a_pause_that_the_endpoint_asks_for_is_kept_up_to_a_bound() -> None:
    endpoint = Endpoint(httpx.Response(429, headers={"retry-after": "3"}),
                        httpx.Response(429, headers={"retry-after": "3600"}), openai)  # fmt: skip
    endpoint.embedder.embed(["a"])
    assert endpoint.pauses == [3.0, 5.0]


def test_a_text_that_is_refused_costs_no_other_its_vector(caplog: pytest.LogCaptureFixture) -> None:
    def picky(request: httpx.Request) -> httpx.Response:
        return httpx.Response(413) if "secret text" in request.content.decode() else openai(request)

    rows = Endpoint(picky).embedder.embed(["a", "secret text", "bb"])
    assert np.isnan(rows).any(axis=1).tolist() == [False, True, False]
    assert "413" in caplog.text
    assert "secret text" not in caplog.text


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(401), "answers 401"),
        (httpx.Response(404), "answers 404"),
        (httpx.Response(200, text="<html>"), "no JSON"),
        (httpx.Response(200, json={"error": "x"}), "something else"),
        (httpx.Response(200, json={"data": [{"index": 1, "embedding": [1, 2]}]}), "something else"),
        (httpx.Response(200, json={"data": [{"embedding": [1, 2, 3]}]}), r"shape \(1, 3\).*expected \(1, 2\)"),
        (httpx.Response(200, json={"data": []}), r"shape \(0,\)"),
    ],
)
def test_an_endpoint_that_is_not_as_the_settings_say_is_told_so(answer: httpx.Response, reason: str) -> None:
    endpoint = Endpoint(answer)
    with pytest.raises(WrongSetup, match=reason):
        endpoint.embedder.embed(["a"])
    assert endpoint.pauses == []


@pytest.mark.parametrize(
    "answer", [httpx.Response(401), httpx.Response(200, text="<html>"), httpx.Response(200, json={"data": []})]
)
def test_an_endpoint_that_was_as_the_settings_say_is_away_when_it_is_not(answer: httpx.Response) -> None:
    endpoint = Endpoint(openai, answer, openai)
    assert endpoint.embedder.embed(["a"]).tolist() == [[1, 1]]
    with pytest.raises(ModelUnavailable, match=r"embedding\."):
        endpoint.embedder.embed(["a"])
    assert endpoint.embedder.embed(["a"]).tolist() == [[1, 1]]


@pytest.mark.parametrize("answer", [httpx.Response(503), httpx.ConnectError("no"), httpx.Response(404)])
def test_what_fails_is_named_by_its_url_without_what_is_secret(answer: httpx.Response | Exception) -> None:
    endpoint = Endpoint(answer, url="http://me:secret@127.0.0.1:1/v1", retries=0)
    with pytest.raises((ModelUnavailable, WrongSetup)) as failed:
        endpoint.embedder.embed(["a"])
    assert "http://127.0.0.1:1/v1/embeddings" in str(failed.value)
    assert "secret" not in str(failed.value)


def test_the_key_is_sent_and_stands_in_no_log_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    endpoint = Endpoint(httpx.Response(401), api_key=SecretStr(KEY))
    with pytest.raises(WrongSetup) as refused:
        endpoint.embedder.embed(["a"])
    assert endpoint.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in caplog.text
    assert KEY not in str(refused.value)


@pytest.mark.parametrize("missing", [{"identity": None}, {"dimensions": None}, {"url": None}, {"url": "no url"}])
def test_without_url_identity_and_dimensions_it_does_not_start(missing: dict[str, None], tmp_path: Path) -> None:
    with pytest.raises(WrongSetup, match=r"embedding\."):
        load_embedder(settings(**missing), tmp_path)


def test_its_identity_is_what_the_settings_call_it(tmp_path: Path) -> None:
    embedder = load_embedder(settings(), tmp_path)
    assert (embedder.identity, embedder.dim) == ("lengths@1/http", 2)


def test_a_text_fits_by_an_estimate_of_its_tokens() -> None:
    embedder = Endpoint(openai, window_tokens=18).embedder
    assert embedder.fits("word " * 16)
    assert not embedder.fits("word " * 17)
    assert not embedder.fits("日" * 17)
    assert embedder.head("word " * 100) == "word " * 15
    assert embedder.unread("I love \U0001f355") == ("\U0001f355",)
    assert embedder.unread("plain") == ()


def test_it_has_no_token_vectors() -> None:
    assert [rows.shape for rows in Endpoint(openai).embedder.embed_tokens(["a", "b c"])] == [(0, 2), (0, 2)]
