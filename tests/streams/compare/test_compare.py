"""Observations become comparisons: equal, similar, or why that cannot be said."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from refrain.schemas.base import Sealed
from refrain.schemas.dead_letters import HEADER_OFFSET, HEADER_PROCESSOR, HEADER_REASON
from refrain.schemas.observations import Comparison, NotCompared, Observation
from refrain.streams.compare.worker import BATCH_MAX, PARTS_MAX, CompareMetrics, CompareStep, check_model, run_compare
from refrain.streams.errors import WrongSetup
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.metrics import Metrics
from refrain.streams.models.embedder import Embedder
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.settings import Embedding, Settings
from refrain.streams.vectors import Floats, quantise, similarity

SECRET = "the patient has a cold"
RESET = "Open the settings, choose security and reset your password."
REWORDED = "Open settings, then choose security, and reset the password."
OTHER = "The cathedral of Cologne was finished in 1880."


class Counting(HashingEmbedder):
    """The free embedder with a window of so many characters; remembers its calls."""

    def __init__(self, window: int = 1_000) -> None:
        super().__init__()
        self.window = window
        self.calls: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> Floats:
        self.calls.append(list(texts))
        rows = super().embed(texts)
        for number, text in enumerate(texts):
            if "no vector" in text:
                rows[number] = np.nan
        return rows

    def fits(self, text: str) -> bool:
        return len(text) <= self.window


def sealed(text: str | None) -> Sealed | None:
    return None if text is None else Sealed(data=json.dumps({"model": "m", "message": {"content": text}}))


def observed(cached: str | None, answered: str | None, *, equal: bool = False, id_: str = "1-2-tag") -> Observation:
    return Observation(
        decision_id=id_,
        tenant="acme",
        category="code",
        model="m",
        entry_id="0-4-x",
        time_ms=99,
        equal=equal,
        cached=sealed(cached),
        answered=sealed(answered),
    )


def record(value: Observation | bytes | None, offset: int = 0) -> Record:
    raw = value.encode() if isinstance(value, Observation) else value
    return Record("observations", 3, offset, 1, b"key", raw, (("trace", b"1"),))


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def embedder() -> Counting:
    return Counting()


@pytest.fixture
def compare(embedder: Counting, metrics: Metrics) -> CompareStep:
    return CompareStep(lambda: embedder, 100, CompareMetrics(metrics))


def never() -> Embedder:
    raise AssertionError("nothing needs the embedder")


def comparisons(out: Sequence[Outgoing]) -> list[Comparison]:
    return [Comparison.decode(each.value or b"") for each in out if each.topic == "comparisons"]


def only(out: Sequence[Outgoing]) -> Comparison:
    (one,) = comparisons(out)
    return one


def test_two_answers_are_compared_by_the_embedder(compare: CompareStep) -> None:
    (out,) = compare.process([record(observed(RESET, REWORDED))])
    first, second = (quantise(row) for row in HashingEmbedder().embed([RESET, REWORDED]))
    assert (out.topic, out.key) == ("comparisons", b"1-2-tag")
    assert only([out]) == Comparison(
        decision_id="1-2-tag",
        tenant="acme",
        category="code",
        model="m",
        entry_id="0-4-x",
        time_ms=99,
        equal=False,
        similarity=similarity(first, second),
        embedder="free-1",
    )
    apart = only(compare.process([record(observed(RESET, OTHER))])).similarity
    assert apart is not None
    assert apart < 0.3 < 0.7 < similarity(first, second)


def test_a_comparison_carries_no_text(compare: CompareStep) -> None:
    (out,) = compare.process([record(observed(SECRET, "the patient is well"))])
    assert "patient" not in str(out)


def test_equal_answers_need_no_embedder(metrics: Metrics) -> None:
    compare = CompareStep(never, 100, CompareMetrics(metrics))
    by_bytes, by_text = comparisons(
        compare.process([record(observed(None, None, equal=True)), record(observed(SECRET, SECRET))])
    )
    assert (by_bytes.equal, by_bytes.similarity, by_bytes.embedder) == (True, 1.0, None)
    assert (by_text.equal, by_text.similarity, by_text.embedder) == (False, 1.0, None)
    counted = metrics.registry.get_sample_value
    assert counted("refrain_comparisons_total", {"category": "code", "equal": "true"}) == 1
    assert counted("refrain_comparisons_total", {"category": "code", "equal": "false"}) == 1


@pytest.mark.parametrize(
    ("cached", "answered", "why"),
    [
        (None, RESET, NotCompared.GONE),
        (None, None, NotCompared.GONE),
        (RESET, None, NotCompared.TOO_LONG),
        (RESET, " ", NotCompared.NO_TEXT),
        ("", RESET, NotCompared.NO_TEXT),
    ],
)
def test_without_two_texts_it_says_why_there_is_no_similarity(
    metrics: Metrics, cached: str | None, answered: str | None, why: NotCompared
) -> None:
    one = only(CompareStep(never, 100, CompareMetrics(metrics)).process([record(observed(cached, answered))]))
    assert (one.similarity, one.not_compared, one.embedder) == (None, why, None)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("text", "why"),
    [("this has no vector", NotCompared.NO_VECTOR), ("word " * 200 * (PARTS_MAX + 1), NotCompared.TOO_LONG)],
)
def test_what_cannot_be_embedded_leaves_no_similarity(
    compare: CompareStep, text: str, why: NotCompared, swapped: bool
) -> None:
    pair = (RESET, text) if swapped else (text, RESET)
    one = only(compare.process([record(observed(*pair))]))
    assert (one.similarity, one.not_compared, one.embedder) == (None, why, None)


def test_an_answer_beyond_the_window_is_compared_as_a_whole(compare: CompareStep, embedder: Counting) -> None:
    beginning = f"{RESET} " * 30
    one, other = comparisons(
        compare.process(
            [record(observed(beginning + REWORDED, beginning)), record(observed(beginning, beginning + OTHER * 40))]
        )
    )
    assert all(len(text) <= embedder.window for call in embedder.calls for text in call)
    assert one.similarity is not None
    assert other.similarity is not None
    assert one.similarity > 0.99
    assert other.similarity < 0.9, "the ends differ, though the windows begin alike"


def test_all_texts_of_a_batch_are_embedded_in_one_call_and_known_ones_not_again(
    compare: CompareStep, embedder: Counting
) -> None:
    compare.process([record(observed(RESET, REWORDED)), record(observed(RESET, OTHER), 1)])
    assert embedder.calls == [[RESET, REWORDED, OTHER]]
    compare.process([record(observed(RESET, SECRET))])
    assert embedder.calls[1:] == [[SECRET]]


def test_a_repeated_batch_gives_the_same_records(metrics: Metrics) -> None:
    batch = [record(observed(RESET, text), offset) for offset, text in enumerate((REWORDED, OTHER, SECRET, RESET))]
    own = CompareMetrics(metrics)
    first, second = (CompareStep(lambda: Counting(20), 100, own).process(batch) for _ in range(2))
    assert first == second


BAD = json.dumps({"v": 1, "decision_id": "d", "equal": SECRET}).encode()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "unreadable"),
        (SECRET.encode(), "unreadable"),
        (BAD, "bad_field"),
        (b'{"v":2}', "unknown_version"),
        (observed(RESET, OTHER).model_copy(update={"cached": Sealed(data=SECRET)}), "unreadable"),
    ],
)
def test_what_cannot_be_read_is_told_without_its_text(
    compare: CompareStep, metrics: Metrics, value: bytes | Observation | None, reason: str
) -> None:
    letter, good = compare.process([record(value, 7), record(observed(RESET, OTHER), 8)])
    headers = dict(letter.headers)
    assert letter.topic == "dead-letters"
    assert (headers[HEADER_PROCESSOR], headers[HEADER_OFFSET]) == (b"compare", b"7")
    assert (headers[HEADER_REASON] or b"").startswith(reason.encode())
    assert "patient" not in str(letter)
    assert metrics.registry.get_sample_value("refrain_refused_total", {"processor": "compare", "reason": reason}) == 1
    assert only([good]).similarity is not None


def ended(cluster: MemoryCluster, count: int) -> Callable[[], bool]:
    return lambda: len(cluster.records("comparisons")) >= count


def test_a_worker_compares_and_commits_its_offset(metrics: Metrics) -> None:
    cluster = MemoryCluster(lambda: 5)
    ids = [f"{number}-0-t" for number in range(2 * BATCH_MAX)]
    cluster.append([Outgoing("observations", id_.encode(), observed(RESET, id_, id_=id_).encode()) for id_ in ids])
    said: list[bool] = []
    run_compare(
        WorkerContext(
            Settings(),
            cluster,
            metrics,
            stop=ended(cluster, len(ids)),
            ready=lambda: said.append(True),
            now_ms=lambda: 5,
        ),
        embedder=Counting(),
    )
    assert sorted(Comparison.decode(r.value or b"").decision_id for r in cluster.records("comparisons")) == sorted(ids)
    assert said
    assert sum(p.next_offset for p in cluster.consumer("observations", "compare").committed(range(8)).values()) == len(
        ids
    )


def test_the_model_is_loaded_by_the_first_answers_that_need_it(metrics: Metrics, tmp_path: Path) -> None:
    loaded: list[Path] = []

    def load(settings: Embedding, cache_dir: Path) -> Embedder:
        loaded.append(cache_dir)
        return HashingEmbedder()

    settings = Settings(state_dir=tmp_path, embedding=Embedding(backend="free"))
    cluster = MemoryCluster(lambda: 5)

    def run(count: int) -> None:
        run_compare(
            WorkerContext(
                settings, cluster, Metrics(), stop=ended(cluster, count), ready=lambda: None, now_ms=lambda: 5
            ),
            load_model=load,
        )

    cluster.append([Outgoing("observations", b"a", observed(None, None, equal=True).encode())])
    run(1)
    assert loaded == []
    cluster.append([Outgoing("observations", b"a", observed(RESET, text).encode()) for text in (REWORDED, OTHER)])
    run(3)
    assert loaded == [tmp_path / "models"]


def test_a_model_that_is_not_here_is_told_at_the_start(metrics: Metrics, tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, embedding=Embedding(backend="torch", model=str(tmp_path)))
    with pytest.raises(WrongSetup):
        run_compare(
            WorkerContext(
                settings, MemoryCluster(lambda: 5), metrics, stop=lambda: True, ready=lambda: None, now_ms=lambda: 5
            )
        )
    check_model(Embedding(backend="free"))
    check_model(Embedding(backend="http"))
    check_model(Embedding(model="fetched when it is needed", allow_download=True))


def test_a_missing_topic_is_told_at_the_start(metrics: Metrics) -> None:
    with pytest.raises(WrongSetup, match="comparisons does not exist"):
        run_compare(
            WorkerContext(
                Settings(),
                MemoryCluster(lambda: 5, {"observations": 1, "dead-letters": 1}),
                metrics,
                stop=lambda: True,
                ready=lambda: None,
                now_ms=lambda: 5,
            ),
            embedder=Counting(),
        )
