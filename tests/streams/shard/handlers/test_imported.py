"""An imported entry serves like an answer of one's own, once, and never in place of one that is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from refrain.schemas.base import Sealed
from refrain.schemas.journal import CacheSwitched, EntryImported, HitJudged
from refrain.schemas.policy_limits import TenantLimits
from refrain.schemas.responses import Outcome
from refrain.streams.kafka.interface import Record
from refrain.streams.shard.admission import NotAdmitted
from refrain.streams.shard.counts import Counted, Dropped
from refrain.streams.shard.fold import fold
from refrain.streams.shard.index.entries import namespace_of
from refrain.streams.shard.loading import load_shard
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard
from refrain.streams.store.interface import Checkpoint, digest
from tests.streams.shard.journal import JOURNAL_ID, Journal, effects, near, new_shard, remembered, responses, vector

LIFE_MS = 100_000


def an_answer(text: str = "kept elsewhere", **message: Any) -> str:
    return json.dumps({"model": "m", "message": {"role": "assistant", "content": text, **message},
                       "finish_reason": "stop"})  # fmt: skip


def imported(journal: Journal, version: int, text: str = "q", **fields: Any) -> Record:
    """The record of an entry that another cache has kept, under the key of `Journal.ask`."""
    asked = json.loads(journal.ask(text, fields.pop("vector", vector(1.0))).value or b"")
    journal.records.pop()
    key = {name: asked[name] for name in ("tenant", "space", "category", "model", "embedder", "context", "text_digest")}
    given = {"answer": Sealed(data=an_answer()), "question": Sealed(data=text), "vector": asked["vector"], **fields}
    return journal.add(EntryImported.model_validate({**key, "version": version, "origin": "3-7-abcdefgh", **given}))


@pytest.fixture
def shard(journal: Journal) -> Shard:
    one = new_shard()
    fold(one, journal.policy(quota={"cap": 3}, ttl_ms=LIFE_MS))
    return one


def why_not(folded: FoldResult) -> list[str]:
    return [label for kind, label, *_ in (each for each in folded.counts if len(each) > 1)
            if kind is Counted.NOT_ADMITTED]  # fmt: skip


def test_an_imported_entry_serves_its_text_and_what_is_near(shard: Shard, journal: Journal) -> None:
    folded = fold(shard, imported(journal, 1))
    assert (folded.effects, folded.decisions) == ([], [])
    for text, where in (("q", vector(1.0)), ("the same in other words", near(0.95))):
        (response,) = responses(fold(shard, journal.ask(text, where)))
        assert response.outcome is Outcome.HIT
        assert response.body is not None
        assert response.body["choices"][0]["message"]["content"] == "kept elsewhere"
        assert response.decision is not None
        assert response.decision.entry_id == shard.wire_id(1)


def test_importing_twice_gives_no_second_entry(shard: Shard, journal: Journal) -> None:
    fold(shard, imported(journal, 1))
    assert why_not(fold(shard, imported(journal, 2))) == [NotAdmitted.KEPT_ALREADY]
    assert len(shard.entries) == 1


def test_a_command_that_is_repeated_is_not_folded_again(shard: Shard, journal: Journal) -> None:
    fold(shard, imported(journal, 5))
    again = fold(shard, imported(journal, 5, "another"))
    assert (Counted.DROPPED, Dropped.REPEATED) in again.counts
    assert len(shard.entries) == 1


def test_an_answer_of_ones_own_is_never_replaced_and_replaces(shard: Shard, journal: Journal) -> None:
    remembered(journal, shard, "mine", vector(0.0, 1.0))
    assert why_not(fold(shard, imported(journal, 1, "mine", vector=vector(0.0, 1.0)))) == [NotAdmitted.KEPT_ALREADY]
    asked = fold(shard, journal.ask("q", vector(1.0)))
    fold(shard, imported(journal, 2))
    (forward,) = effects(asked, "forwards")
    fold(shard, journal.answer((forward.key or b"").decode(), "newer"))
    (response,) = responses(fold(shard, journal.ask("q", vector(1.0))))
    assert response.body is not None
    assert response.body["choices"][0]["message"]["content"] == "newer"


def test_an_entry_that_keeps_its_age_leaves_when_its_lifetime_is_over(shard: Shard, journal: Journal) -> None:
    fold(shard, imported(journal, 1, admitted_at_ms=journal.time_ms - LIFE_MS + 10_000))
    fold(shard, imported(journal, 2, "young", vector=vector(0.0, 1.0)))
    old, young = (fold(shard, journal.ask(text, None, after_ms=20_000)) for text in ("q", "young"))
    assert [each.decisions[0].outcome for each in (old, young)] == [Outcome.MISS, Outcome.HIT]
    late = imported(journal, 3, "late", admitted_at_ms=journal.time_ms - LIFE_MS - 10)
    assert why_not(fold(shard, late)) == [NotAdmitted.EXPIRED]


def test_an_entry_of_a_clock_that_is_ahead_is_as_old_as_its_import(shard: Shard, journal: Journal) -> None:
    fold(shard, imported(journal, 1, admitted_at_ms=journal.time_ms + LIFE_MS))
    (decision,) = fold(shard, journal.ask("q", vector(1.0), after_ms=500)).decisions
    assert decision.entry_age_ms == 500


def test_quotas_hold(shard: Shard, journal: Journal) -> None:
    for number in range(5):
        fold(shard, imported(journal, number + 1, f"q{number}", vector=vector(*[0.0] * number, 1.0)))
    assert len(shard.entries) == 3


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"category": "secret"}, NotAdmitted.CATEGORY_NEVER),
        ({"category": "unheard"}, NotAdmitted.CATEGORY_NEVER),
        ({"answer": {"data": an_answer("")}}, NotAdmitted.EMPTY),
        ({"answer": {"data": an_answer(refusal="no")}}, NotAdmitted.REFUSAL),
        ({"answer": {"data": an_answer("x" * 2_000_000)}}, NotAdmitted.TOO_LARGE),
        ({"tenant": "bound", "space": "bound", "context": "c1"}, NotAdmitted.TENANT_LIMIT),
    ],
    ids=lambda value: value.value if isinstance(value, NotAdmitted) else "",
)
def test_what_the_policy_would_not_keep_is_not_imported(
    fields: dict[str, Any], reason: NotAdmitted, journal: Journal
) -> None:
    shard = new_shard()
    fold(shard, journal.policy(tenants={"bound": TenantLimits(namespaces=1)}))
    fold(shard, imported(journal, 1, tenant="bound", space="bound"))
    assert why_not(fold(shard, imported(journal, 2, "other", **fields))) == [reason]
    assert len(shard.entries) == 1


def test_nothing_is_imported_without_a_policy_or_while_the_cache_is_off(journal: Journal) -> None:
    shard = new_shard()
    assert why_not(fold(shard, imported(journal, 1))) == [NotAdmitted.CATEGORY_NEVER]
    fold(shard, journal.policy(version=2))
    fold(shard, journal.add(CacheSwitched(version=3, on=False)))
    assert why_not(fold(shard, imported(journal, 4))) == [NotAdmitted.SWITCHED_OFF]


def test_an_answer_that_was_judged_wrong_here_is_not_imported(shard: Shard, journal: Journal) -> None:
    fold(shard, imported(journal, 1))
    (decision,) = fold(shard, journal.ask("q", vector(1.0))).decisions
    fold(shard, journal.add(HitJudged(
        version=2, decision_id=decision.id, correct=False, who="ana", category="code", namespace=decision.namespace,
        entry_id=decision.entry_id, answer=decision.answer,
    )))  # fmt: skip
    assert len(shard.entries) == 0
    assert why_not(fold(shard, imported(journal, 3))) == [NotAdmitted.JUDGED_WRONG]


@pytest.mark.parametrize(
    "fields",
    [{"vector": vector(1.0)[:8]}, {"answer": {"data": "[]"}}, {"answer": {"data": "{"}}, {"answer": {"data": "{}"}}],
    ids=["dimensions", "list", "cut", "no message"],
)
def test_what_is_no_entry_changes_nothing(fields: dict[str, Any], shard: Shard, journal: Journal) -> None:
    fold(shard, imported(journal, 1))
    folded = fold(shard, imported(journal, 2, "other", **fields))
    (letter,) = effects(folded, "dead-letters")
    assert dict(letter.headers)["refrain.dead.reason"] is not None
    assert len(shard.entries) == 1


def test_tenants_share_an_entry_only_where_both_categories_are_shared(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    fold(shard, imported(journal, 1, space="*"))
    assert shard.entries.namespaces.holds_any(namespace_of("acme", "code", "test", "c0"))
    shared = new_shard()
    fold(shared, journal.policy(scope="shared"))
    fold(shared, imported(journal, 1, space="*"))
    assert shared.entries.namespaces.holds_any(namespace_of("*", "code", "test", "c0"))


def test_a_restored_shard_has_the_imported_entries(shard: Shard, journal: Journal) -> None:
    fold(shard, imported(journal, 1, admitted_at_ms=journal.time_ms - 60_000))
    shard.begin_commit()
    shard.finish_commit(Checkpoint(1, 1))
    again = load_shard(0, 32, JOURNAL_ID, shard.store)
    ask = journal.ask("q", vector(1.0))
    assert [fold(one, ask).decisions[0].entry_age_ms for one in (shard, again)] == [60_003, 60_003]
    assert digest(again.store.scan()) == digest(shard.store.scan())
