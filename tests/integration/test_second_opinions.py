"""A strict category with every processor at work: a match by meaning is served when the verifier says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from refrain.ops.ask.client import Client
from refrain.ops.cli import main
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.requests import Request
from refrain.schemas.responses import Outcome, Response
from refrain.streams.classify.worker import run_classify
from refrain.streams.govern.worker import run_govern
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.lookup.worker import run_lookup
from refrain.streams.populate.worker import run_populate
from refrain.streams.settings import Settings, Upstream, Verify
from refrain.streams.upstream.worker import run_upstream
from refrain.streams.verify.worker import run_verify
from tests.eventually import eventually
from tests.integration.processors import running_all
from tests.integration.topics import create_table

POLICY = """\
categories:
  code: {threshold: 0.6, guards: [], verify: 0.9}
limits: {verify_timeout_ms: 5000}
"""
PROCESSORS = (run_govern, run_lookup, run_classify, run_populate, run_upstream, run_verify)
REVERSE = "How do I reverse a list in Python?"
REWORDED = "How can I reverse the list in Python?"
OTHER = "How do I reverse a long list in Python?"


@pytest.fixture
def client(settings: Settings, admin: AdminClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Client]:
    """A client of all processors, with a strict policy in force."""
    create_table(admin, settings.prefix)
    monkeypatch.setenv("REFRAIN_KAFKA", settings.kafka)
    monkeypatch.setenv("REFRAIN_PREFIX", settings.prefix)
    monkeypatch.setenv("REFRAIN_EMBEDDING__BACKEND", "free")
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(POLICY)
    changed = {
        "upstream": Upstream(connector="simulated", latency_median_ms=5.0),
        "verify": Verify(backend="words"),
    }
    quick = settings.model_copy(update=changed)
    with running_all(PROCESSORS, quick):
        assert main(["policies", "apply", "p.yaml", "--yes", "--who", "ana"]) == 0
        with Client(settings) as client:
            yield client


def ask(client: Client, question: str) -> Response:
    """The response to one question."""
    body = {"model": "m", "messages": [{"role": "user", "content": question}]}
    request = Request.model_validate({"tenant": "acme", "category": "code", "body": body})
    response = client.ask([request], timeout_s=30)[0].response
    assert response is not None
    return response


def decisions(settings: Settings) -> list[Decision]:
    with KafkaCluster(settings) as cluster:
        records = [
            record for place in range(cluster.partitions("decisions")) for record in cluster.scan("decisions", place)
        ]
    return [Decision.decode(record.value or b"") for record in records]


def test_a_rewording_is_served_and_what_the_verifier_takes_for_another_question_is_not(
    client: Client, settings: Settings
) -> None:
    assert ask(client, REVERSE).outcome is Outcome.MISS
    assert ask(client, REWORDED).outcome is Outcome.HIT
    other = ask(client, OTHER)
    assert other.outcome is Outcome.MISS
    eventually(lambda: len(decisions(settings)) == 3)
    found = {each.reason: each for each in decisions(settings)}
    hit, refused = found[Reason.SIMILAR_TEXT], found[Reason.VERIFIER_REFUSED]
    assert (hit.verifier, hit.verifier_score) == ("words/1", 1.0)
    assert "verifier" in {each.verdict for each in refused.candidates}
