"""A trained classifier at work: what is near its landmarks gets a category, the rest none; the same on every run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.streams.errors import WrongSetup
from refrain.streams.models.category_artifact import CATEGORY_FILES
from refrain.streams.models.category_classifier import CategoryClassifier, load_category_classifier
from refrain.streams.vectors import SCALE
from tests.streams.models.made_categories import DIM, EMBEDDER, NAMES, artefact, axis

READY = CategoryClassifier(artefact())


@pytest.mark.parametrize(
    ("weights", "category", "likeliest"),
    [
        ((1,), "chat", "chat"),
        ((0.1, 1), "code", "code"),
        ((0, 0, 1), "medical", "medical"),
        ((1, 0.9), None, "chat"),
        ((0, 0, 0.2, 1), None, "medical"),
    ],
)
def test_a_question_far_from_every_example_has_no_category(
    weights: tuple[float, ...], category: str | None, likeliest: str
) -> None:
    found = READY.classify(axis(*weights))
    assert (found.category, found.likeliest) == (category, likeliest)


def test_labels_of_one_category_add_up() -> None:
    two_of_three = artefact(categories=("a", "b"), category_of=(0, 0, 1), made=_made("a", "b"))
    # The third label is likeliest by itself; the first two together are likelier.
    assert CategoryClassifier(two_of_three).classify(axis(0.95, 0.95, 1.0)).likeliest == "a"


def test_the_signals_are_what_they_are_said_to_be() -> None:
    signals = READY.classify(axis(1)).signals
    assert signals.energy == pytest.approx(math.log(math.exp(5) + 2), abs=1e-4)
    assert signals.nearest == pytest.approx(1.0)
    assert signals.outside == 0.0


def test_the_line_to_what_is_outside_counts() -> None:
    from refrain.streams.models.category_artifact import linear_map

    line = linear_map(-np.eye(DIM)[:1], np.array([0.25]))
    blend = {"energy": 0.0, "nearest": 0.0, "outside": 2.0, "bias": 1.0}
    found = CategoryClassifier(artefact(outside=line, blend=blend, floor=0.0)).classify(axis(1))
    assert found.signals.outside == pytest.approx(-0.75)
    assert found.score == pytest.approx(-0.5)
    assert found.category is None


def test_a_score_at_the_floor_is_in_scope() -> None:
    found = READY.classify(axis(0.5, 1))
    assert CategoryClassifier(artefact(floor=found.score)).classify(axis(0.5, 1)).category == "code"
    assert CategoryClassifier(artefact(floor=found.score + 1e-6)).classify(axis(0.5, 1)).category is None


@given(st.lists(st.integers(-SCALE, SCALE), min_size=DIM, max_size=DIM).filter(any))
def test_any_vector_gets_one_of_the_categories_or_none(numbers: list[int]) -> None:
    vector = np.array(numbers, dtype=np.int16)
    found = READY.classify(vector)
    assert found.likeliest in NAMES
    assert found.category in (None, found.likeliest)
    assert found == CategoryClassifier(artefact()).classify(vector)


def test_an_artefact_of_another_embedder_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "categories.json"
    path.write_bytes(CATEGORY_FILES.encode(artefact()))
    assert load_category_classifier(path, EMBEDDER).version == artefact().version
    with pytest.raises(WrongSetup, match=r"vectors of made-1, the embedder here is other-2: train it again") as error:
        load_category_classifier(path, "other-2")
    assert str(path) in str(error.value)


def _made(*names: str) -> dict[str, object]:
    return {**artefact().made.model_dump(), "examples": dict.fromkeys(names, 5)}
