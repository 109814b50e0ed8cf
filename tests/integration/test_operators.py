"""What operators do, with every processor at work: what is withdrawn, judged or switched off is served no more."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from refrain.ops.ask.client import Client
from refrain.ops.cli import main
from refrain.schemas.base import Source
from refrain.schemas.requests import Request
from refrain.schemas.responses import Outcome, Response
from refrain.streams.classify.worker import run_classify
from refrain.streams.govern.worker import run_govern
from refrain.streams.lookup.worker import run_lookup
from refrain.streams.populate.worker import run_populate
from refrain.streams.settings import Settings, Upstream
from refrain.streams.upstream.worker import run_upstream
from tests.eventually import eventually
from tests.integration.processors import running_all
from tests.integration.topics import create_table

POLICY = """\
categories:
  code: {threshold: 0.9}
  chat: {threshold: 0.9}
"""
QUESTION = "How do I reverse a list in Python?"
Out = pytest.CaptureFixture[str]


@pytest.fixture
def client(
    settings: Settings, admin: AdminClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Out
) -> Iterator[Client]:
    """A client of all processors, with a policy in force."""
    create_table(admin, settings.prefix)
    monkeypatch.setenv("REFRAIN_KAFKA", settings.kafka)
    monkeypatch.setenv("REFRAIN_PREFIX", settings.prefix)
    monkeypatch.setenv("REFRAIN_EMBEDDING__BACKEND", "free")
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(POLICY)
    quick = settings.model_copy(update={"upstream": Upstream(connector="simulated", latency_median_ms=5.0)})
    with running_all((run_govern, run_lookup, run_classify, run_populate, run_upstream), quick):
        assert main(["policies", "apply", "p.yaml", "--yes", "--who", "ana"]) == 0
        capsys.readouterr()
        with Client(settings) as client:
            yield client


def ask(client: Client, question: str = QUESTION, **fields: Any) -> Response:
    """The response to one question."""
    body = {"model": "m", "messages": [{"role": "user", "content": question}]}
    request = Request.model_validate({"tenant": "acme", "category": "code", "body": body, **fields})
    response = client.ask([request], timeout_s=30)[0].response
    assert response is not None
    return response


def told(*arguments: str, capsys: Out) -> Any:
    """What a command says in JSON."""
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def seen_when_kept(entries: int, capsys: Out) -> Any:
    """What a dry run of everything says when so many entries are committed: that is after their responses."""
    until = time.monotonic() + 30
    while True:
        found = told("invalidate", "--all", "--dry-run", capsys=capsys)
        if found["entries"] == entries:
            return found
        assert time.monotonic() < until, found


def test_a_wrong_answer_is_withdrawn_and_everybody_who_got_it_is_named(client: Client, capsys: Out) -> None:
    first, second = ask(client), ask(client, request_id="r2")
    assert (first.outcome, second.outcome) == ("miss", "hit")
    assert first.decision is not None
    assert second.decision is not None
    found = told("judge", second.decision.id, "--wrong", "--why", "it fails", capsys=capsys)
    assert [each["id"] for each in found["served"]] == [first.decision.id, second.decision.id]
    assert [each["outcome"] for each in found["served"]] == ["miss", "hit"]
    assert found["entry_id"] == second.decision.entry_id
    again = ask(client)
    assert again.outcome == "miss"
    # The simulated model says the same again: it is delivered, and not kept.
    assert ask(client).outcome == "miss"


def test_the_answer_of_a_miss_can_be_judged_as_well(client: Client, capsys: Out) -> None:
    first = ask(client)
    assert first.decision is not None
    found = told("judge", first.decision.id, "--wrong", "--why", "it fails", capsys=capsys)
    assert [each["id"] for each in found["served"]] == [first.decision.id]
    assert ask(client).outcome == "miss"


def test_an_unknown_decision_is_not_judged(client: Client, capsys: Out) -> None:
    assert main(["judge", "0-77-x", "--right"]) == 1
    assert "no decision 0-77-x" in capsys.readouterr().err


def test_what_is_withdrawn_is_what_the_dry_run_told(client: Client, settings: Settings, capsys: Out) -> None:
    ask(client, sources=(Source(id="doc", version="1"),))
    ask(client, "What is the capital of France?", category="chat")
    kept = seen_when_kept(2, capsys)
    assert [row["category"] for row in kept["by"]] == ["chat", "code"]
    assert told("invalidate", "--source", "doc", "--keep", "1", "--dry-run", capsys=capsys)["entries"] == 0
    found = told("invalidate", "--source", "doc", "--keep", "2", "--yes", capsys=capsys)
    assert found["by"] == [{"tenant": "acme", "category": "code", "entries": 1}]
    assert ask(client, sources=(Source(id="doc", version="1"),)).outcome == "miss"
    assert ask(client, "What is the capital of France?", category="chat").outcome == "hit"
    assert told("invalidate", "--near", "What is the capital of France?", "--yes", capsys=capsys)["entries"] == 1
    assert ask(client, "What is the capital of France?", category="chat").outcome == "miss"


def test_off_is_past_the_cache_and_on_finds_everything_again(client: Client, capsys: Out) -> None:
    ask(client)
    assert main(["off", "--category", "code"]) == 0
    off = ask(client)
    assert off.decision is not None
    assert (off.outcome, off.decision.reason) == ("bypass", "switched_off")
    assert main(["on"]) == 0
    assert ask(client).outcome == "hit"


def test_stats_count_what_came_of_the_requests(client: Client, capsys: Out) -> None:
    ask(client)
    ask(client)
    ask(client, "What is the capital of France?", category="chat")
    until = time.monotonic() + 30
    while True:
        # A shard reports with a commit, a second after its last report.
        main(["stats", "--json"])
        found = json.loads(capsys.readouterr().out)
        if sum(row["asked"] for row in found["categories"].values()) == 3:
            break
        assert time.monotonic() < until, found
    code = found["categories"]["code"]
    assert (code["asked"], code["hits"], code["forwarded"], code["entries"], code["admitted"]) == (2, 1, 1, 1, 1)
    assert found["missing"] == []
    assert main(["stats", "--category", "chat"]) == 0
    shown = capsys.readouterr().out
    assert "chat\t1\t0\t0.0%" in shown
    assert "code" not in shown


def test_hits_are_labelled_by_keys_and_by_lines_and_judged_by_their_labels(
    client: Client, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(client)
    reworded = ask(client, "How can I reverse a list in Python?")
    assert reworded.outcome is Outcome.HIT
    capsys.readouterr()
    # A decision is recorded with the next commit, a moment after its response.
    eventually(lambda: main(["hits", "label", "--within", "0.5", "--out", "-"]) == 0)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["text_a"], each["text_b"], each["label"], each["was_hit"]) for each in lines] == [
        ("How can I reverse a list in Python?", QUESTION, None, True)
    ]
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.getchar", lambda: "y")
    assert main(["hits", "label", "--within", "0.5"]) == 0
    assert "hits.jsonl holds 1 labelled pair, 1 the same" in capsys.readouterr().err
    assert main(["hits", "label", "--within", "0.5"]) == 1
    assert "is left to label" in capsys.readouterr().err
    assert main(["hits", "label", "--within", "0.5", "--send", "--who", "ana"]) == 0
    assert "judged: 1 hit right, 0 wrong" in capsys.readouterr().err
    Path("judged.jsonl").write_text(json.dumps({**lines[0], "label": 0}))
    assert main(["hits", "label", "other.jsonl", "--from", "judged.jsonl", "--send", "--who", "ana"]) == 0
    assert "judged: 0 hits right, 1 wrong and withdrawn" in capsys.readouterr().err
    assert ask(client, "How could I reverse a list in Python?").outcome is Outcome.MISS


def test_thresholds_are_calibrated_on_the_hits_that_were_judged(client: Client, capsys: Out) -> None:
    ask(client)
    by_meaning = ask(client, "How can I reverse a list in Python?").decision
    by_text = ask(client, request_id="again").decision
    assert by_meaning is not None
    assert by_text is not None
    assert by_meaning.similarity is not None
    for decision in (by_meaning, by_text):
        told("judge", decision.id, "--right", capsys=capsys)
    found = told("calibrate", "--budget", "0.5", "--confidence", "0.5", capsys=capsys)
    assert (found["from"], found["judgements"]) == ("judged hits", 2)
    code = found["categories"]["code"]
    # The same text says nothing of how near is near enough.
    assert (code["samples"], code["hits"], code["false_hits"], code["needed"]) == (1, 1, 0, 1)
    assert 0.9 <= code["threshold"] <= by_meaning.similarity
    assert 0 <= code["bound"] <= code["budget"] == 0.5
    assert found["yaml"] == f"categories:\n  code:\n    threshold: {code['threshold']:g}\n"
    assert main(["calibrate"]) == 1
    assert "1 hits are too few" in capsys.readouterr().err
