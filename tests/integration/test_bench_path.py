"""`infra/bench path` in small, on the broker of the tests: what it prints, and that it leaves no topics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from infra.local.bench import main
from refrain.ops.bench.path.run import MODEL_MS
from tests.conftest import ADMIN_S

LOAD = [
    "--rate",
    "100",
    "--seconds",
    "2",
    "--warm-up",
    "1",
    "--requests",
    "300",
    "--lookups",
    "1",
    "--no-real-embedder",
    "--rest",
    "0.5",
]
STAGES = {"classify", "lookup", "populate", "upstream", "govern", "adapt"}


BROKERS_OWN = {"__consumer_offsets", "__transaction_state"}
"""Topics that a broker makes by itself, at the first group and the first transaction."""


@pytest.fixture(autouse=True)
def _environment(kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFRAIN_CONFIG", raising=False)
    monkeypatch.setenv("REFRAIN_KAFKA", kafka)
    monkeypatch.setenv("REFRAIN_EMBEDDING__BACKEND", "free")


def test_the_path_is_told_beside_an_echo_and_the_model(capfd: pytest.CaptureFixture[str], admin: AdminClient) -> None:
    before = set(admin.list_topics(timeout=ADMIN_S).topics)
    assert main(["path", *LOAD, "--json", "--plot", "path.png"]) == 0, capfd.readouterr().err
    assert Path("path.png").read_bytes().startswith(b"\x89PNG")
    (line,) = capfd.readouterr().out.splitlines()
    told = json.loads(line)

    assert 0 < told["echo_p50_ms"] <= told["echo_p99_ms"]
    assert 0 < told["hit_p50_ms"] <= told["hit_p99_ms"]
    # Both wait for a model that takes this long.
    assert told["miss_p50_ms"] >= MODEL_MS
    assert told["direct_http_p50_ms"] >= MODEL_MS
    assert told["miss_overhead_p50_ms"] == pytest.approx(told["miss_p50_ms"] - told["direct_http_p50_ms"], abs=0.01)
    assert told["ratio_hit_p50"] == pytest.approx(told["hit_p50_ms"] / told["echo_p50_ms"], abs=0.01)
    assert told["echo_rps"] > 0
    assert told["rps_by_workers"] == {"1": told["refrain_rps"]}
    assert told["ratio_rps"] == pytest.approx(told["refrain_rps"] / told["echo_rps"], abs=0.001)
    # Every request of the two seconds was answered.
    assert sum(told["shares"].values()) == 200
    assert min(told["shares"]["hit"], told["shares"]["miss"]) > 0
    assert "hit_real_embedder_p50_ms" not in told
    # The broker of the tests may be anywhere; the workers are here.
    for used in ("cpu_ms_a_request", "cpu_ms_a_request_fastest", "cpu_at_rest", "resident_mb"):
        assert told[used].keys() - {"broker"} == STAGES
    assert all(told["resident_mb"][stage] > 1 for stage in STAGES)
    assert told["cpu_ms_a_request"]["lookup"] > 0
    assert told["cpu_ms_a_request_echo"]["hops"] > 0
    assert set(admin.list_topics(timeout=ADMIN_S).topics) <= before | BROKERS_OWN
