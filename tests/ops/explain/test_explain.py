"""`refrain explain` over recorded runs: what it says of each kind of decision, and what it does not show."""

from __future__ import annotations

import json
from typing import Any

from refrain.ops.explain.command import explained
from refrain.schemas.decisions import Decision
from tests.ops.audit.test_partition import recorded
from tests.streams.lookup.test_lookup import Stage
from tests.streams.shard.journal import Journal, near, vector

MARKER = "zebrafinch"


def asked(journal: Journal, text: str, at: str | None, answer: str | None = None, **fields: Any) -> None:
    record = journal.ask(text, at, **fields)
    if answer is not None:
        journal.answer(json.loads(record.value or b"")["id"], answer)


def last(stage: Stage) -> Decision:
    return Decision.decode(stage.cluster.topic("decisions").records[0][-1].value or b"")


def test_a_hit_by_meaning_is_told_with_its_age_its_question_and_its_numbers() -> None:
    journal = Journal()
    journal.policy()
    asked(journal, f"How do I {MARKER}?", vector(1.0), "like this")
    asked(journal, "How can one do it?", near(0.95), after_ms=300_000)
    stage = recorded(journal)
    told = explained(stage.cluster, last(stage).id)
    assert told.json["sentence"] == f"served from an answer of 5 minutes ago to `How do I {MARKER}?`, 0.95 against 0.90"
