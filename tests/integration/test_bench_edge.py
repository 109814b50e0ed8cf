"""`infra/bench edge` in small, beside LiteLLM's proxy, on the broker of the tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from infra.local.bench import main
from refrain.ops.bench.edge.run import MODEL_MS
from tests.conftest import ADMIN_S
from tests.streams.edge.installed import LITELLM, programs

BROKERS_OWN = {"__consumer_offsets", "__transaction_state"}


@pytest.mark.clients
def test_hits_are_told_beside_kafka_and_litellm_and_first_pieces_beside_the_model(
    kafka: str,
    admin: AdminClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    command = programs(LITELLM) / "litellm"
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFRAIN_CONFIG", raising=False)
    monkeypatch.setenv("REFRAIN_KAFKA", kafka)
    before = set(admin.list_topics(timeout=ADMIN_S).topics)
    load = ["--rate", "20", "--seconds", "0.5", "--streams", "3", "--litellm", str(command), "--json"]
    assert main(["edge", *load]) == 0, capfd.readouterr().err
    (line,) = capfd.readouterr().out.splitlines()
    told = json.loads(line)

    for way in ("kafka", "http", "litellm"):
        assert 0 < told[f"hit_{way}_p50_ms"] <= told[f"hit_{way}_p99_ms"]
    assert told["hits"] == 30
    assert told["ratio_hit_http_kafka"] == pytest.approx(told["hit_http_p50_ms"] / told["hit_kafka_p50_ms"], abs=0.01)
    assert told["ratio_hit_http_litellm"] == pytest.approx(
        told["hit_http_p50_ms"] / told["hit_litellm_p50_ms"], abs=0.01
    )
    # The first piece comes after half of the model's time.
    assert min(told["first_piece_p50_ms"], told["first_piece_direct_p50_ms"]) >= MODEL_MS / 2
    assert told["streams"] == 3
    assert set(admin.list_topics(timeout=ADMIN_S).topics) <= before | BROKERS_OWN
