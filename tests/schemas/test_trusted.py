"""A message that is made of valid fields without checks is the one that the checks let through, to the byte."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import pytest

from refrain.schemas.base import Part
from refrain.schemas.decisions import Candidate, Decision
from refrain.schemas.documents import EntryStats, Tally
from tests.schemas.test_golden import FILES, model_of

P = TypeVar("P", bound=Part)


def trusted(part: P) -> P:
    """The same part, made again without checks, its fields given in another order."""
    names = sorted(type(part).model_fields)
    return type(part).trusted(**{name: getattr(part, name) for name in names})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_golden_message_comes_out_the_same(path: Path) -> None:
    message = model_of(path).decode(path.read_bytes())
    made = trusted(message)
    assert made == message
    assert made.encode() == message.encode()


def test_fields_that_are_left_out_have_their_defaults() -> None:
    assert EntryStats.trusted(hits=1, last_offset=2) == EntryStats(hits=1, last_offset=2)
    assert EntryStats.trusted(hits=1, last_offset=2).encode() == EntryStats(hits=1, last_offset=2).encode()


@pytest.mark.parametrize("fields", [{"hits": 1}, {"hits": 1, "last_offset": 2, "uses": 3}], ids=["missing", "unknown"])
def test_a_missing_or_unknown_field_is_an_error(fields: dict[str, int]) -> None:
    with pytest.raises(TypeError, match="EntryStats"):
        EntryStats.trusted(**fields)


def test_what_a_factory_makes_is_not_shared_but_asked_for() -> None:
    with pytest.raises(TypeError, match="left"):
        Tally.trusted()


def test_a_changed_copy_leaves_the_first_one_as_it_is() -> None:
    path = next(path for path in FILES if path.name.startswith("Decision."))
    made = trusted(Decision.decode(path.read_bytes()))
    before = made.encode()
    copy = made.model_copy(update={"changes": "ab"})
    assert (copy.changes, made.encode()) == ("ab", before)
    assert Candidate.trusted(entry_id="e", similarity=1.0, age_ms=1, verdict="served").score is None
