"""A stream of questions with known answers through one shard in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from refrain.ops.quality.stages import ThresholdVerifier
from refrain.ops.quality.stream import Query, Served, default_policy, queries, report, run
from refrain.schemas.decisions import Reason
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy
from refrain.schemas.responses import Outcome
from refrain.streams.models.hashing_embedder import HashingEmbedder

SORT, SORT_TOO = "How do I sort a list in Python?", "How can I sort a list in Python?"
REVERSE = "How do I reverse a list in Python?"


def asked(*rows: dict[str, Any]) -> list[Query]:
    good, bad = queries(json.dumps(row).encode() for row in rows)
    assert bad == []
    return good


def outcomes(found: Sequence[Served]) -> list[Outcome | None]:
    return [None if each.decision is None else each.decision.outcome for each in found]


def quiet(done: int, of: int) -> None:
    """No bar."""


def drive(stream: list[Query], opinion: ThresholdVerifier | None = None, **category: Any) -> list[Served]:
    wanted = CategoryPolicy(**{"threshold": 0.8, "guards": (), **category})
    return run(stream, default_policy(stream, wanted), HashingEmbedder(), opinion, quiet)


class Says:
    """A verifier with one opinion."""

    identity = "says"

    def __init__(self, score: float | None) -> None:
        self.score = score

    def scores(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        return [self.score for _ in pairs]


def test_a_question_asked_again_is_served_from_the_first() -> None:
    found = drive(asked(*({"question": text, "answer": "a"} for text in (SORT, SORT_TOO, SORT))))
    assert outcomes(found) == [Outcome.MISS, Outcome.HIT, Outcome.HIT]
    assert [each.source and each.source.line for each in found] == [None, 1, 1]
    made = report(found)
    assert (made["hit_rate"]["count"], made["precision"]["value"], made["false_hits"]["count"]) == (2, 1.0, 0)
    assert (made["answered_before"]["count"], made["answered_before"]["of"]) == (2, 2)


def test_a_hit_with_another_answer_is_false_and_named() -> None:
    found = drive(asked({"text": SORT, "answer": 1}, {"text": REVERSE, "answer": 2}), threshold=0.6)
    made = report(found)
    assert (made["hit_rate"]["count"], made["false_hits"]["count"], made["precision"]["value"]) == (1, 1, 0.0)
    (false,) = made["first_false_hits"]
    assert (false["line"], false["cached_line"], false["question"], false["cached_question"]) == (2, 1, REVERSE, SORT)
    decision = found[1].decision
    assert decision is not None
    assert false["similarity"] == decision.similarity


def test_tenants_never_serve_each_other() -> None:
    found = drive(asked({"text": SORT, "answer": "a"}, {"text": SORT, "answer": "a", "tenant": "other"}))
    assert outcomes(found) == [Outcome.MISS, Outcome.MISS]
    assert report(found)["answered_before"]["of"] == 0


def test_categories_are_reported_by_themselves() -> None:
    rows = [{"text": SORT, "answer": "a", "category": "code"}, {"text": SORT, "answer": "a"}] * 2
    made = report(drive(asked(*rows)))
    assert {name: each["hit_rate"]["count"] for name, each in made["by_category"].items()} == {
        "code": 1, "uncategorised": 1,
    }  # fmt: skip


def test_a_policy_decides_what_is_kept() -> None:
    policy = Policy(
        categories={
            "code": CategoryPolicy(threshold=0.8),
            "secret": CategoryPolicy(cache=Cacheable.NEVER),
            "watched": CategoryPolicy(cache=Cacheable.OBSERVE),
        }
    )
    names = ("code", "secret", "watched", "unknown")
    stream = asked(*({"text": SORT, "answer": "a", "category": name} for name in names * 2))
    found = run(stream, policy, HashingEmbedder(), None, quiet)
    # What is observed would have been a hit, and counts as one.
    assert [each.source is not None for each in found[4:]] == [True, False, True, False]
    assert found[5].decision is not None
    assert found[5].decision.reason is Reason.CATEGORY_NEVER
    assert report(found)["reasons"]["bypass: category_unknown"] == 2


@pytest.mark.parametrize(("score", "hit"), [(0.9, True), (0.4, False), (None, False)])
def test_a_match_in_doubt_is_served_only_when_the_verifier_says_so(score: float | None, hit: bool) -> None:
    stream = asked({"text": SORT, "answer": "a"}, {"text": SORT_TOO, "answer": "a"}, {"text": SORT_TOO, "answer": "a"})
    found = drive(stream, ThresholdVerifier(Says(score), 0.5), verify=0.5)
    assert (found[1].source is not None) is hit
    assert found[2].source is not None


def test_without_a_verifier_a_match_in_doubt_is_a_miss() -> None:
    found = drive(asked({"text": SORT, "answer": "a"}, {"text": SORT_TOO, "answer": "a"}), verify=0.5)
    assert outcomes(found) == [Outcome.MISS, Outcome.MISS]


def test_a_stream_longer_than_a_batch_comes_out_in_its_order() -> None:
    rows = [{"text": f"what is item number {n % 150}", "answer": n % 150} for n in range(600)]
    seen: list[tuple[int, int]] = []
    stream = asked(*rows)
    policy = default_policy(stream, CategoryPolicy(threshold=1.0))
    found = run(stream, policy, HashingEmbedder(), None, lambda done, of: seen.append((done, of)))
    assert outcomes(found) == [Outcome.MISS] * 150 + [Outcome.HIT] * 450
    assert report(found)["false_hits"]["count"] == 0
    assert seen[-1] == (600, 600)


def test_bad_lines_are_named_and_the_rest_goes_on() -> None:
    lines = [
        b'{"question": "x", "answer": "a"}', b"{", b'{"question": "", "answer": "a"}', b'{"question": "x"}',
        b'{"question": "x", "answer": ""}', b'{"question": "x", "answer": "a", "tenant": "a/b"}',
        b'{"question": "x", "answer": "a", "category": 7}', b'{"question": "x", "answer": "\\ud800"}', b"",
        b'{"text": "y", "answer": 0}',
    ]  # fmt: skip
    good, bad = queries(lines)
    assert [each.line for each in good] == [1, 10]
    assert [each.line for each in bad] == [2, 3, 4, 5, 6, 7, 8]
    assert bad[4].why.startswith("tenant: ")
