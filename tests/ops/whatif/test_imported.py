"""What an imported entry serves, under the recorded policy and under others."""

from __future__ import annotations

import pytest

from refrain.ops.whatif.alternative import Made
from refrain.ops.whatif.recording import Recording
from refrain.ops.whatif.run import run
from refrain.schemas.control import ImportEntry
from refrain.schemas.documents import Entry
from refrain.schemas.policy import Policy
from tests.ops.whatif.service import Ask, Give, Service
from tests.ops.whatif.traffic import START_MS, policy

QUESTION = "How do I reverse a list of strings"


def an_import() -> ImportEntry:
    """The entry that another service has kept of the question."""
    other = Service(policy()).run([Ask(START_MS, QUESTION, "code")])
    (entry,) = (
        Entry.decode(record.value or b"")
        for record in other.cluster.records("documents")
        if (record.key or b"").startswith(b"entries/")
    )
    return ImportEntry.model_validate(entry.question_key() | {"who": "w", "answer": entry.answer, "origin": "0-1-x"})


@pytest.mark.parametrize(
    ("other", "outcomes"),
    [
        (policy(), ["hit", "hit"]),
        (policy(slices=3), ["hit", "hit"]),
        (policy(threshold=1.0), ["hit", "miss"]),
        (policy(ttl_ms=1_000), ["miss", "miss"]),
    ],
    ids=["the same", "in slices", "the same words", "short lives"],
)
def test_a_whatif_has_what_was_imported(other: Policy, outcomes: list[str]) -> None:
    script: list[Ask | Give] = [
        Give(START_MS, an_import()),
        Ask(START_MS + 30_000, QUESTION, "code"),
        Ask(START_MS + 60_000, QUESTION + " please", "code"),
    ]
    service = Service(policy(threshold=0.8)).run(script)
    assert [each.outcome.value for each in service.decisions().values()] == ["hit", "hit"]
    made: list[Made] = []
    run(Recording(service.cluster), {"other": other}, on_made=lambda _, each: made.append(each))
    assert [each.decision.outcome.value for each in made] == outcomes
