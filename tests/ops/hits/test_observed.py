"""Labels of observed questions, by how near their two answers are to each other."""

from __future__ import annotations

from refrain.ops.hits.observed import AnswerBounds, observed_pairs
from refrain.schemas.decisions import Reason
from refrain.schemas.observations import NotCompared
from refrain.schemas.policy import Policy
from refrain.schemas.responses import Outcome
from refrain.streams.kafka.interface import Outgoing
from tests.ops.hits.traffic import Traffic

SEEN = {"outcome": Outcome.MISS, "reason": Reason.OBSERVED}


def traffic_of(**answers: dict[str, object]) -> Traffic:
    """Questions of these names that met one entry, and how their answers compare."""
    traffic = Traffic()
    entry = traffic.kept(0, "kept")
    for name, said in answers.items():
        traffic.met(name, f"asked {name}", entry, 0.8, **SEEN)
        traffic.compared(name, **said)
    return traffic


def labels(traffic: Traffic, bounds: AnswerBounds = AnswerBounds()) -> dict[str, bool]:  # noqa: B008 - frozen
    found = observed_pairs(traffic.cluster, bounds, None, None, set())
    return {pair.text_a: same for pair, same in found.pairs}


def test_answers_that_say_the_same_make_questions_the_same_and_far_ones_make_them_others() -> None:
    traffic = traffic_of(
        equal={"equal": True}, near={"similarity": 0.95}, far={"similarity": 0.7}, opposite={"similarity": -0.2}
    )
    assert labels(traffic) == {"asked equal": True, "asked near": True, "asked far": False, "asked opposite": False}


def test_what_the_answers_do_not_tell_is_left_out_and_counted() -> None:
    traffic = traffic_of(between={"similarity": 0.8}, none={"not_compared": NotCompared.TOO_LONG})
    found = observed_pairs(traffic.cluster, AnswerBounds(), None, None, set())
    assert (found.pairs, found.undecided) == ([], 2)
    assert labels(traffic, AnswerBounds(same_from=0.8)) == {"asked between": True}
    assert labels(traffic, AnswerBounds(other_to=0.8)) == {"asked between": False}


def test_known_pairs_other_categories_and_those_never_kept_are_left_out() -> None:
    traffic = traffic_of(one={"equal": True}, two={"equal": True})
    never = Policy.model_validate({"categories": {"code": {"cache": "never"}}})
    for wanted, policy, known, there in (
        (None, None, {("asked one", "kept")}, ["asked two"]),
        ("chat", None, set(), []),
        ("code", None, set(), ["asked one", "asked two"]),
        (None, never, set(), []),
    ):
        found = observed_pairs(traffic.cluster, AnswerBounds(), wanted, policy, known)
        assert sorted(pair.text_a for pair, _ in found.pairs) == there


def test_a_text_that_has_left_is_counted_and_a_damaged_comparison_passed_over() -> None:
    traffic = traffic_of(one={"equal": True})
    traffic.left(0)
    traffic.cluster.producer().send([Outgoing("comparisons", b"x", b"{}")])
    found = observed_pairs(traffic.cluster, AnswerBounds(), None, None, set())
    assert (found.pairs, found.undecided, found.gone) == ([], 0, 1)


def test_without_observations_there_is_nothing() -> None:
    assert observed_pairs(Traffic().cluster, AnswerBounds(), None, None, set()) == ([], 0, 0)
