"""Numbers that no counter and no float can hold: wherever they are allowed, questions are answered all the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from refrain.schemas.policy import Quota
from refrain.schemas.responses import Outcome
from tests.streams.shard.journal import Journal, decisions, effects, fold_all, new_shard, responses, vector

HUGE = (2**53 + 1, 2**63, 10**18, 10**400)
LIFETIMES = ("ttl_ms", "ttl_cap_ms", "stale_while_revalidate_ms")
LIMITS = (
    "answer_timeout_ms", "verify_timeout_ms", "waiting_max", "entries_max", "response_bytes_max", "entry_bytes_max",
    "hnsw_from",
)  # fmt: skip


def outcomes(policy: dict[str, Any], asked: dict[str, Any], answered: dict[str, Any]) -> list[Outcome]:
    """What comes of six questions, which are answered, and of the last one again, where at most three are kept."""
    journal = Journal()
    journal.policy(**{"quota": Quota(cap=3), **policy})
    for number in (*range(6), 5):
        question = journal.ask(f"q{number}", vector(*[0.0] * number, 1.0), **asked)
        answer = journal.answer(json.loads(question.value or b"")["id"])
        changed = json.loads(answer.value or b"") | answered
        journal.records[-1] = answer._replace(value=json.dumps(changed).encode())
    folded = fold_all(new_shard(), journal.records)
    assert effects(folded, "dead-letters") == []
    assert all(each.encode() for each in decisions(folded))
    return [each.outcome for each in responses(folded)]


@pytest.mark.parametrize("number", HUGE, ids=["2^53", "2^63", "10^18", "10^400"])
@pytest.mark.parametrize(
    ("policy", "asked", "answered"),
    [
        *(({name}, set(), set()) for name in LIFETIMES),
        *(({f"limits.{name}"}, set(), set()) for name in LIMITS),
        (set(), {"deadline_at_ms"}, set()),
        (set(), set(), {"latency_ms"}),
    ],
    ids=[*LIFETIMES, *LIMITS, "deadline_at_ms", "latency_ms"],
)
def test_questions_are_answered(policy: set[str], asked: set[str], answered: set[str], number: int) -> None:
    limits = {name.removeprefix("limits."): number for name in policy if name.startswith("limits.")}
    own = {name: number for name in policy if not name.startswith("limits.")}
    found = outcomes(own | {"limits": limits}, dict.fromkeys(asked, number), dict.fromkeys(answered, number))
    assert found == [Outcome.MISS] * 6 + [Outcome.HIT]
