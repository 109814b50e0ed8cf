"""A command becomes one event for every shard, or is refused with the reason."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from refrain.schemas.base import Message, Near, RecoveryWay, Sealed
from refrain.schemas.control import ImportEntry, Invalidate, Judge, PolicyInForce, RecoverShard, SetPolicy, Switch
from refrain.schemas.dead_letters import HEADER_REASON
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.journal import (
    CacheSwitched,
    EntriesInvalidated,
    EntryImported,
    HitJudged,
    RecoveryOrdered,
    decode_event,
)
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy
from refrain.schemas.policy_rules import Match, Rule
from refrain.schemas.responses import Outcome
from refrain.streams.govern.commands import command_of, decide, judged_by
from refrain.streams.govern.decision_search import SoughtDecision
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.partitioner import partition_of
from refrain.streams.vectors import encode, quantise
from tests.streams.models.made_hit_heads import strict_head

NOW_MS = 1_000
POLICY = PolicyInForce(version=2, who="w", at_ms=0, policy=Policy(categories={"chat": CategoryPolicy()}))
VECTOR = encode(quantise(np.array([1.0, 2.0, 3.0])))
DECISION = Decision(
    id="d", partition=1, offset=2, time_ms=3, tenant="acme", category="chat", model="m", outcome=Outcome.HIT,
    reason=Reason.EXACT_TEXT, namespace="ab", entry_id="1-7", answer="cd", forward_id="f", load=0.25,
)  # fmt: skip
JUDGE = Judge(who="me", why="why", decision_id="d", correct=True)


def record(command: Message | bytes) -> Record:
    return Record("control", 0, 4, NOW_MS, None, command if isinstance(command, bytes) else command.encode())


def carried_out(command: Message, judged: Decision | None = None) -> Any:
    """The event, after a check that each of three shards gets it and the policy stays."""
    out, policy = decide(record(command), POLICY, 3, judged)
    assert policy is POLICY
    assert [(one.topic, one.partition) for one in out] == [("journal", shard) for shard in range(3)]
    assert len({one.value for one in out}) == 1
    return decode_event(out[0].value or b"")


def refused(command: Message, judged: Decision | None = None, policy: PolicyInForce | None = POLICY) -> str:
    """The reason, after a check that nothing else comes of it."""
    out, after = decide(record(command), policy, 3, judged)
    assert after is policy
    return reason_of(out)


def reason_of(out: list[Outgoing]) -> str:
    (letter,) = out
    assert letter.topic == "dead-letters"
    return (dict(letter.headers)[HEADER_REASON] or b"").decode()


def test_an_invalidation_is_carried_on_as_it_was_given() -> None:
    given = {
        "entry_id": "1-2", "tag": "t", "source_id": "s", "keep_version": "3", "tenant": "acme", "category": "gone",
        "model": "m", "older_than_ms": 60_000, "near": Near(embedder="e", vector=VECTOR, similarity=0.8),
    }  # fmt: skip
    event = carried_out(Invalidate(who="me", before_ms=NOW_MS, **given))
    assert event == EntriesInvalidated(version=4, before_ms=NOW_MS, **given)


def test_an_invalidation_of_all_names_nothing() -> None:
    assert carried_out(Invalidate(who="me", all=True)) == EntriesInvalidated(version=4)


def test_a_cut_off_after_the_command_says_nothing() -> None:
    assert carried_out(Invalidate(who="me", all=True, before_ms=NOW_MS + 1)) == EntriesInvalidated(version=4)


@pytest.mark.parametrize(
    "vector",
    ["not base64!", "é", "", base64.b64encode(b"odd").decode(), base64.b64encode(bytes(6)).decode(), VECTOR + "!"],
)
def test_an_invalidation_near_something_that_is_no_vector_is_refused(vector: str) -> None:
    command = Invalidate(who="me", near=Near(embedder="e", vector=vector, similarity=0.8))
    assert refused(command).startswith("bad_field: near.vector")


def test_a_judged_hit_names_its_entry() -> None:
    assert carried_out(JUDGE, DECISION) == HitJudged(
        version=4, decision_id="d", correct=True, who="me", why="why", partition=1, category="chat", namespace="ab",
        entry_id="1-7", answer="cd", load=0.25,
    )  # fmt: skip


@pytest.mark.parametrize("outcome", [Outcome.MISS, Outcome.COALESCED])
def test_a_judged_answer_of_a_model_names_its_forward(outcome: Outcome) -> None:
    event = carried_out(JUDGE, DECISION.model_copy(update={"outcome": outcome}))
    assert (event.forward_id, event.entry_id, event.answer, event.namespace) == ("f", None, None, "ab")


@pytest.mark.parametrize("outcome", [Outcome.BYPASS, Outcome.ERROR])
def test_a_decision_that_gave_nothing_to_keep_cannot_be_judged(outcome: Outcome) -> None:
    judged = DECISION.model_copy(update={"outcome": outcome, "reason": Reason.BYPASS_ASKED})
    assert refused(JUDGE, judged).startswith("nothing_to_judge: decision d")


def test_a_decision_that_is_not_recorded_cannot_be_judged() -> None:
    assert refused(JUDGE).startswith("unknown_decision: no decision d is recorded")


def test_only_a_judgement_asks_for_a_decision() -> None:
    placed = JUDGE.model_copy(update={"partition": 3, "offset": 7})
    assert judged_by(command_of(record(JUDGE))) == SoughtDecision("d")
    assert judged_by(command_of(record(placed))) == SoughtDecision("d", 3, 7)
    assert judged_by(command_of(record(Switch(who="me", on=True)))) is None
    assert judged_by(command_of(record(b"junk"))) is None


@pytest.mark.parametrize("category", [None, "chat"])
def test_the_switch_is_carried_on(category: str | None) -> None:
    assert carried_out(Switch(who="me", on=False, category=category)) == CacheSwitched(
        version=4, on=False, category=category
    )


@pytest.mark.parametrize("policy", [None, POLICY])
def test_a_category_that_the_policy_does_not_define_cannot_be_switched(policy: PolicyInForce | None) -> None:
    assert refused(Switch(who="me", on=False, category="other"), policy=policy).startswith("bad_field: category")


def test_all_can_be_switched_off_without_a_policy() -> None:
    out, _ = decide(record(Switch(who="me", on=False)), None, 3)
    assert [one.topic for one in out] == ["journal"] * 3


def test_a_policy_with_a_head_whose_content_is_another_is_refused() -> None:
    head = strict_head(1_000)
    for given, taken in ((head, True), (head.model_copy(update={"cap": 1}), False)):
        wanted = Policy(categories={"chat": CategoryPolicy(hit_head=head.version)}, hit_heads=(given,))
        command = SetPolicy(who="me", policy=wanted)
        out, after = decide(record(command), POLICY, 3)
        assert (after is not POLICY) == taken
        if not taken:
            assert reason_of(out) == f"bad_field: hit_heads: the content of {head.version} is not of that version"


def test_a_policy_with_an_expression_that_is_not_linear_is_refused() -> None:
    rules = (Rule(when=Match(pattern="a(?!b)"), category="chat"),)
    command = SetPolicy(who="me", policy=Policy(categories={"chat": CategoryPolicy()}, rules=rules))
    said = refused(command, policy=None)
    assert said.startswith("bad_field: rules.0.when.pattern: needs what linear matching lacks")


def test_a_policy_too_large_for_its_topic_is_refused() -> None:
    categories = {f"c{n}": CategoryPolicy(examples=("x" * 2_000,) * 10) for n in range(60)}
    assert refused(SetPolicy(who="me", policy=Policy(categories=categories)), policy=None).startswith("too_large")


@pytest.mark.parametrize("how", RecoveryWay)
def test_an_order_to_recover_goes_to_its_shard_alone(how: RecoveryWay) -> None:
    given = record(RecoverShard(who="w", partition=1, how=how, position=12))
    out, after = decide(given, POLICY, 2)
    (only,) = out
    assert (only.topic, only.partition, after) == ("journal", 1, POLICY)
    assert decode_event(only.value or b"") == RecoveryOrdered(version=given.offset, how=how, position=12)


def test_an_order_for_a_shard_that_is_not_there_is_refused() -> None:
    out, _ = decide(record(RecoverShard(who="w", partition=2, how=RecoveryWay.EMPTY, position=0)), POLICY, 2)
    assert "the journal has 2" in reason_of(out)


def an_entry(**fields: Any) -> ImportEntry:
    """An entry that another cache has kept."""
    answer = '{"model":"m","message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}'
    given = {"who": "me", "tenant": "acme", "space": "acme", "category": "chat", "model": "m", "embedder": "e",
             "context": "0c", "text_digest": "ab", "vector": VECTOR, "question": Sealed(data="why?"),
             "answer": Sealed(data=answer), "origin": "7-8-abcdefgh"}  # fmt: skip
    return ImportEntry.model_validate(given | fields)


def test_an_imported_entry_goes_to_the_shard_of_its_questions_alone() -> None:
    policy = POLICY.model_copy(update={"policy": Policy(categories={"chat": CategoryPolicy(slices=5)})})
    (out,), _ = decide(record(an_entry(space="*")), policy, 3)
    assert (out.topic, out.key, out.partition) == ("journal", b"acme/chat/2", partition_of(b"acme/chat/2", 3))
    event = decode_event(out.value or b"")
    assert isinstance(event, EntryImported)
    assert (event.version, event.space, event.origin, event.admitted_at_ms) == (4, "acme", "7-8-abcdefgh", None)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"category": "unheard"}, "bad_field: category"),
        ({"category": "secret"}, "bad_field: category"),
        ({"vector": "AAAA"}, "bad_field: vector"),
        ({"vector": "?"}, "bad_field: vector"),
        ({"answer": {"data": "{}"}}, "bad_field: answer"),
        ({"answer": {"data": "["}}, "bad_field: answer"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_its_text_lies_nowhere(fields: dict[str, Any], said: str) -> None:
    categories = {"chat": CategoryPolicy(), "secret": CategoryPolicy(cache=Cacheable.NEVER)}
    policy = POLICY.model_copy(update={"policy": Policy(categories=categories)})
    (letter,), after = decide(record(an_entry(**fields)), policy, 3)
    assert after is policy
    assert reason_of([letter]).startswith(said)
    assert letter.value is None
    assert reason_of(decide(record(an_entry()), None, 3)[0]).startswith("bad_field: category")
