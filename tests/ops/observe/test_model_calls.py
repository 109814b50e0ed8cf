"""Calls of the models in `stats` and in the doctor: how many failed, by model, and what came of the last."""

from __future__ import annotations

from refrain.ops.observe.model_calls import WINDOW_MS, count_calls, findings_of, read_calls
from refrain.ops.observe.stats_totals import summarise, to_json
from refrain.ops.observe.stats_view import about, tables
from refrain.schemas.load import LoadSample
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.memory import MemoryCluster

NOW_MS = 10_000_000


def sample(model: str, calls: int, failures: int = 0, at_ms: int = NOW_MS, failure: str | None = None) -> LoadSample:
    return LoadSample(
        model=model,
        replica="r",
        latency_p95_ms=1.0,
        queue_depth=0.0,
        at_ms=at_ms,
        calls=calls,
        failures=failures,
        failure=failure,
    )


def test_calls_of_the_last_minutes_are_added_up_by_model_over_all_replicas() -> None:
    time_ms = NOW_MS - WINDOW_MS - 1
    cluster = MemoryCluster(lambda: time_ms)
    cluster.append([Outgoing("load", b"m", sample("m", 50, 50).encode())])
    time_ms = NOW_MS
    told = [
        sample("m", 3, 1, NOW_MS - 2, "503"),
        sample("m", 2, 2, NOW_MS - 1, "gone"),
        sample("a", 4),
        sample("idle", 0),
    ]
    cluster.append([Outgoing("load", b"m", each.encode()) for each in told])
    cluster.append([Outgoing("load", b"m", b"junk")])
    found = read_calls(cluster, NOW_MS)
    assert list(found) == ["a", "m"]
    assert (found["m"].calls, found["m"].failures, found["m"].last_failure) == (5, 3, "gone")
    assert found["m"].is_failing
    assert not found["a"].is_failing


def test_stats_show_failures_by_model_to_people_and_programs() -> None:
    calls = count_calls([sample("gpt", 4, 4, failure="HTTP 503"), sample("other", 9)])
    summary = summarise([], range(1), None, calls)
    (columns, rows) = tables(summary, {})[-1]
    assert columns == ("model", "calls", "failed", "the last failure")
    assert rows == [("gpt", 4, 4, "HTTP 503"), ("other", 9, 0, "-")]
    assert "gpt: 4 of 4 calls failed, the last: HTTP 503 in the last 5 min" in about(summary, NOW_MS)
    told = to_json(summary, NOW_MS)["models"]
    assert told["gpt"]["failures"] == 4
    assert told["other"]["calls"] == 9


def test_the_doctor_fails_where_half_the_calls_of_a_model_fail_and_warns_where_some_do() -> None:
    rows = findings_of(count_calls([sample("dead", 4, 2), sample("shaky", 100, 1), sample("well", 9)]))
    assert [(row.state, row.seen.partition(":")[0]) for row in rows] == [("fail", "dead"), ("warn", "shaky")]
    (good,) = findings_of(count_calls([sample("well", 9)]))
    assert good.state == "ok"
    (quiet,) = findings_of({})
    assert quiet.state == "ok"
