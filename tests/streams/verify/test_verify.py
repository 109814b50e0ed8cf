"""Doubts become opinions for the shard that asks, in time or not at all."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from refrain.schemas.base import Sealed
from refrain.schemas.dead_letters import HEADER_OFFSET, HEADER_PROCESSOR, HEADER_REASON
from refrain.schemas.doubts import DoubtRaised
from refrain.schemas.journal import Verified, decode_event
from refrain.streams.errors import WrongSetup
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.messaging.shards import Shards
from refrain.streams.metrics import Metrics
from refrain.streams.models.verifier import Pair, SharedWordsVerifier, Verifier
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.settings import Settings, Verify
from refrain.streams.verify.worker import BATCH_MAX, VerifyMetrics, VerifyStep, run_verify

SECRET = "the patient has a cold"
RESET = "How do I reset my password?"
REWORDED = "How can I reset the password?"
OTHER = "Is it raining in Cologne?"
JOURNAL = Shards(4, "journal-1")
NOW_MS = 1_000


class Counting(SharedWordsVerifier):
    """Compares words; remembers its calls, and cannot tell of `odd` texts."""

    def __init__(self) -> None:
        self.calls: list[list[Pair]] = []

    def scores(self, pairs: Sequence[Pair]) -> list[float | None]:
        self.calls.append(list(pairs))
        told = super().scores(pairs)
        return [math.nan if "odd" in "".join(pair) else score for pair, score in zip(pairs, told, strict=True)]


def doubt(question: str = RESET, cached: str = REWORDED, **changed: object) -> DoubtRaised:
    return DoubtRaised(
        id="3-17-tag",
        partition=3,
        incarnation=JOURNAL.incarnation,
        category="legal",
        entry=41,
        question=Sealed(data=question),
        cached=Sealed(data=cached),
        deadline_at_ms=NOW_MS,
    ).model_copy(update=changed)


def record(value: DoubtRaised | bytes | None, offset: int = 0) -> Record:
    raw = value.encode() if isinstance(value, DoubtRaised) else value
    return Record("doubts", 2, offset, 1, SECRET.encode(), raw, (("trace", SECRET.encode()),))


def opinions(out: Sequence[Outgoing]) -> list[Verified]:
    found = [decode_event(each.value or b"") for each in out if each.topic == "journal"]
    assert all(isinstance(each, Verified) for each in found)
    return [each for each in found if isinstance(each, Verified)]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def verifier() -> Counting:
    return Counting()


@pytest.fixture
def verify(verifier: Counting, metrics: Metrics) -> VerifyStep:
    return VerifyStep(verifier, 100, JOURNAL, VerifyMetrics(metrics), lambda: NOW_MS)


def doubts(metrics: Metrics, outcome: str) -> float | None:
    return metrics.registry.get_sample_value("refrain_doubts_total", {"outcome": outcome})


def test_an_opinion_goes_to_the_shard_that_asks(verify: VerifyStep) -> None:
    (out,) = verify.process([record(doubt())])
    assert (out.topic, out.key, out.partition) == ("journal", b"3-17-tag", 3)
    assert opinions([out]) == [Verified(id="3-17-tag", entry=41, score=1.0, verifier="words/1")]


def test_an_opinion_carries_no_text(verify: VerifyStep) -> None:
    assert "patient" not in str(verify.process([record(doubt(SECRET, SECRET + "!"))]))


def test_opinions_are_counted_by_what_they_say(verify: VerifyStep, metrics: Metrics) -> None:
    found = opinions(verify.process([record(doubt(text)) for text in (RESET, OTHER, "an odd one", "", " ", "🙂")]))
    assert [each.score for each in found] == [1.0, 0.0, None, None, None, None]
    assert (doubts(metrics, "same"), doubts(metrics, "other"), doubts(metrics, "unknown")) == (1, 1, 4)
    assert metrics.registry.get_sample_value("refrain_verify_seconds_count") == 1


def test_all_pairs_of_a_batch_are_scored_in_one_call_and_known_ones_not_again(
    verify: VerifyStep, verifier: Counting
) -> None:
    verify.process([record(doubt(RESET, REWORDED)), record(doubt(RESET, OTHER)), record(doubt(REWORDED, RESET))])
    assert verifier.calls == [[(REWORDED, RESET), (RESET, OTHER)]]
    assert [each.score for each in opinions(verify.process([record(doubt(OTHER, RESET))]))] == [0.0]
    assert len(verifier.calls) == 1


def test_what_nobody_waits_for_any_more_is_skipped(verify: VerifyStep, verifier: Counting, metrics: Metrics) -> None:
    late, good = doubt(id="late", deadline_at_ms=NOW_MS - 1), doubt(OTHER)
    assert [each.id for each in opinions(verify.process([record(late), record(good)]))] == ["3-17-tag"]
    assert verifier.calls == [[(REWORDED, OTHER)]]
    assert doubts(metrics, "late") == 1


def test_long_texts_cost_no_other_its_opinion(verify: VerifyStep) -> None:
    long = "word " * 20_000
    found = opinions(verify.process([record(doubt(long, long + "end")), record(doubt())]))
    assert [each.score for each in found] == [pytest.approx(20_000 / 20_001, abs=1e-6), 1.0]


def test_a_repeated_batch_gives_the_same_records(metrics: Metrics) -> None:
    batch = [record(doubt(text), offset) for offset, text in enumerate((RESET, OTHER, SECRET, REWORDED))]
    own = VerifyMetrics(metrics)
    first, second = (VerifyStep(Counting(), 100, JOURNAL, own, lambda: NOW_MS).process(batch) for _ in range(2))
    assert first == second


BAD = json.dumps({"v": 1, "id": "d", "partition": SECRET}).encode()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "unreadable"),
        (SECRET.encode(), "unreadable"),
        (BAD, "bad_field"),
        (b'{"v":2}', "unknown_version"),
        (doubt(SECRET, incarnation="journal-0"), "not_asked"),
        (doubt(SECRET, partition=4), "not_asked"),
        (doubt(SECRET, partition=-1), "not_asked"),
    ],
)
def test_what_cannot_be_taken_is_told_without_its_text(
    verify: VerifyStep, metrics: Metrics, value: bytes | DoubtRaised | None, reason: str
) -> None:
    letter, good = verify.process([record(value, 7), record(doubt(), 8)])
    headers = dict(letter.headers)
    assert (letter.topic, letter.value) == ("dead-letters", None)
    assert (headers[HEADER_PROCESSOR], headers[HEADER_OFFSET]) == (b"verify", b"7")
    assert (headers[HEADER_REASON] or b"").startswith(reason.encode())
    assert "patient" not in str(letter)
    assert metrics.registry.get_sample_value("refrain_refused_total", {"processor": "verify", "reason": reason}) == 1
    assert opinions([good])[0].score == 1.0


def test_without_a_verifier_doubts_stay_unanswered_and_are_counted(metrics: Metrics) -> None:
    verify = VerifyStep(None, 100, JOURNAL, VerifyMetrics(metrics), lambda: NOW_MS)
    out = verify.process([record(doubt()), record(doubt(OTHER)), record(b"junk")])
    assert [each.topic for each in out] == ["dead-letters"]
    assert doubts(metrics, "unknown") == 2


def run(
    cluster: MemoryCluster,
    settings: Settings,
    metrics: Metrics,
    stop: Callable[[], bool],
    verifier: Verifier | None = None,
) -> bool:
    said: list[bool] = []
    run_verify(
        WorkerContext(settings, cluster, metrics, stop=stop, ready=lambda: said.append(True), now_ms=lambda: NOW_MS),
        verifier=verifier,
    )
    return bool(said)


def raised(cluster: MemoryCluster, count: int) -> list[str]:
    incarnation = cluster.topic_id("journal")
    ids = [f"{number}-0-t" for number in range(count)]
    cluster.append(
        [
            Outgoing("doubts", id_.encode(), doubt(id=id_, partition=n % 4, incarnation=incarnation).encode())
            for n, id_ in enumerate(ids)
        ]
    )
    return ids


def test_a_worker_gives_opinions_and_commits_its_offset(metrics: Metrics) -> None:
    cluster = MemoryCluster(lambda: NOW_MS)
    ids = raised(cluster, 2 * BATCH_MAX)
    assert run(cluster, Settings(), metrics, lambda: len(cluster.records("journal")) >= len(ids), Counting())
    found = [(r.partition, decode_event(r.value or b"")) for r in cluster.records("journal")]
    assert {event.id: place for place, event in found if isinstance(event, Verified)} == {
        id_: number % 4 for number, id_ in enumerate(ids)
    }
    assert sum(p.next_offset for p in cluster.consumer("doubts", "verify").committed(range(8)).values()) == len(ids)


def test_a_worker_takes_the_verifier_that_the_settings_name(
    metrics: Metrics, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = MemoryCluster(lambda: NOW_MS)
    raised(cluster, 1)
    settings = Settings(state_dir=tmp_path, verify=Verify(backend="words"))
    with caplog.at_level(logging.INFO):
        run(cluster, settings, metrics, lambda: len(cluster.records("journal")) == 1)
    (one,) = cluster.records("journal")
    event = decode_event(one.value or b"")
    assert isinstance(event, Verified)
    assert event.verifier == "words/1"
    assert "second opinions by words/1" in caplog.text


def test_a_worker_without_a_model_says_so_and_lives(
    metrics: Metrics, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = MemoryCluster(lambda: NOW_MS)
    raised(cluster, 3)
    assert run(cluster, Settings(state_dir=tmp_path), metrics, lambda: doubts(metrics, "unknown") == 3)
    assert cluster.records("journal") == []
    assert "no verify.model is set: doubts stay unanswered" in caplog.text


def test_a_model_that_is_not_here_is_told_at_the_start(metrics: Metrics, tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, verify=Verify(backend="torch", model=str(tmp_path)))
    with pytest.raises(WrongSetup, match=r"verify\.model|refrain\[embed\]"):
        run(MemoryCluster(lambda: NOW_MS), settings, metrics, lambda: True)


@pytest.mark.parametrize("missing", ["doubts", "journal", "dead-letters"])
def test_a_missing_topic_is_told_at_the_start(metrics: Metrics, missing: str) -> None:
    topics = {name: 1 for name in ("doubts", "journal", "dead-letters") if name != missing}
    with pytest.raises(WrongSetup, match=f"{missing} does not exist"):
        run(MemoryCluster(lambda: NOW_MS, topics), Settings(), metrics, lambda: True, Counting())
