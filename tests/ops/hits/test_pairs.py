"""Pairs to label, from decisions, journal and documents."""

from __future__ import annotations

from refrain.ops.hits.near import Wanted
from refrain.ops.hits.pairs import pairs_to_label
from refrain.schemas.decisions import Candidate, Reason
from refrain.schemas.policy import Policy
from refrain.schemas.responses import Outcome
from refrain.streams.kafka.interface import Outgoing
from tests.ops.hits.traffic import MISSED, Traffic

NEAR = Wanted(within=0.05)


def found(traffic: Traffic, wanted: Wanted = NEAR, known: set[tuple[str, str]] | None = None) -> list[str]:
    """The questions of the pairs to label."""
    return [pair.text_a for pair in pairs_to_label(traffic.cluster, wanted, None, known or set()).pairs]


def test_hits_and_misses_near_the_threshold_are_paired_with_what_they_met_the_nearest_first() -> None:
    traffic = Traffic()
    entry = traffic.kept(0, "How do I sort a list?")
    traffic.met("0-1-x", "How can I sort a list?", entry, 0.94)
    traffic.met("0-2-x", "How do I sort a tuple?", entry, 0.89, **MISSED)
    traffic.met("0-3-x", "How do I boil an egg?", entry, 0.52, **MISSED)
    pairs = pairs_to_label(traffic.cluster, NEAR, None, set()).pairs
    assert [(pair.text_a, pair.text_b, pair.decision.was_hit) for pair in pairs] == [
        ("How do I sort a tuple?", "How do I sort a list?", False),
        ("How can I sort a list?", "How do I sort a list?", True),
    ]
    assert (pairs[0].decision.similarity, pairs[0].decision.threshold, pairs[0].decision.reason) == (
        0.89, 0.9, "below_threshold",
    )  # fmt: skip


def test_what_is_wanted_may_lie_farther_and_in_one_category() -> None:
    traffic = Traffic()
    entry = traffic.kept(0, "kept")
    traffic.met("0-1-x", "near", entry, 0.9, category="chat")
    traffic.met("0-2-x", "far", entry, 0.8)
    assert found(traffic) == ["near"]
    assert found(traffic, Wanted(within=0.1)) == ["near", "far"]
    assert found(traffic, Wanted(within=0.1, category="code")) == ["far"]


def test_the_same_texts_are_shown_once_and_those_that_are_labelled_not_at_all() -> None:
    traffic = Traffic()
    entry = traffic.kept(0, "kept")
    for number in range(3):
        traffic.met(f"0-{number}-x", "asked often", entry, 0.91)
    traffic.met("0-3-x", "labelled", entry, 0.92)
    traffic.met("0-4-x", "kept", entry, 0.93)
    assert found(traffic, known={("labelled", "kept")}) == ["asked often"]


def test_a_question_that_waited_for_a_second_opinion_is_found_before_it() -> None:
    traffic = Traffic()
    entry = traffic.kept(0, "kept")
    traffic.asked("0-1-x", "doubted")
    traffic.journal()
    traffic.decided("0-1-x", traffic.journal(), entry, 0.91, **{**MISSED, "reason": Reason.VERIFIER_REFUSED})
    assert found(traffic) == ["doubted"]


def test_what_was_only_observed_is_labelled_too_and_was_no_hit() -> None:
    traffic = Traffic()
    entry = traffic.kept(0, "kept")
    traffic.met("0-1-x", "observed", entry, 0.93, outcome=Outcome.MISS, reason=Reason.OBSERVED)
    pairs = pairs_to_label(traffic.cluster, NEAR, None, set()).pairs
    assert [(pair.text_a, pair.decision.was_hit) for pair in pairs] == [("observed", False)]


def test_texts_that_have_left_are_counted_and_not_shown() -> None:
    traffic = Traffic()
    gone, there, sealed = traffic.kept(0, "gone"), traffic.kept(1, "there"), traffic.kept(2, "x", key="k1")
    traffic.left(0)
    traffic.met("0-1-x", "one", gone, 0.9)
    traffic.met("0-2-x", "two", there, 0.9)
    traffic.met("0-3-x", "three", sealed, 0.9)
    traffic.met("0-4-x", "four", "3-1-otherone", 0.9)
    told = pairs_to_label(traffic.cluster, NEAR, None, set())
    assert ([pair.text_a for pair in told.pairs], told.gone) == (["two"], 3)


def test_a_withdrawn_candidate_is_passed_over_for_the_next() -> None:
    traffic = Traffic()
    withdrawn, entry = traffic.kept(0, "withdrawn"), traffic.kept(1, "kept")
    met = tuple(
        Candidate(entry_id=id_, similarity=similarity, age_ms=1, verdict=verdict)
        for id_, similarity, verdict in ((withdrawn, 0.95, "withdrawn"), (entry, 0.92, "guard:numbers"))
    )
    guarded = {**MISSED, "reason": Reason.GUARD_REFUSED, "candidates": met}
    traffic.met("0-1-x", "asked", entry, 0.92, **guarded)
    pairs = pairs_to_label(traffic.cluster, NEAR, None, set()).pairs
    assert [(pair.text_b, pair.decision.similarity) for pair in pairs] == [("kept", 0.92)]


def test_texts_of_a_category_that_is_never_kept_now_are_not_shown() -> None:
    traffic = Traffic()
    entry = traffic.kept(0, "kept")
    traffic.met("0-1-x", "private", entry, 0.9, category="medical")
    policy = Policy.model_validate({"categories": {"medical": {"cache": "never"}, "code": {}}})
    assert pairs_to_label(traffic.cluster, NEAR, policy, set()) == ([], 0)


def test_records_that_cannot_be_read_and_decisions_without_a_match_are_passed_over() -> None:
    traffic = Traffic()
    entry = traffic.kept(0, "kept")
    traffic.cluster.producer().send([Outgoing("decisions", b"0-9-x", b"{}")])
    traffic.decided("0-8-x", 0, entry, 0.9, outcome=Outcome.BYPASS, reason=Reason.CATEGORY_NEVER, candidates=())
    traffic.journal(b'{"kind":"Asked"')
    traffic.met("0-1-x", "asked", entry, 0.9)
    assert found(traffic) == ["asked"]


def test_where_nothing_was_decided_there_is_nothing() -> None:
    assert found(Traffic()) == []
