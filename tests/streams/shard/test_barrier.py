"""What is wrong with one requester or one record in the journal costs no other, and never the shard."""

from __future__ import annotations

import json

import pytest

from refrain.schemas.base import Header, Reply, Sealed
from refrain.schemas.journal import Answered, PolicySet
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.schemas.responses import Outcome
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.decoding import RECORD_BYTES_MAX
from refrain.streams.shard.fold import fold
from tests.streams.shard.journal import Journal, effects, forward_id, new_shard, remembered, responses, vector

UNTELLABLE = [
    Reply(topic="responses", key="not base64!"),
    Reply(topic="responses", headers=(Header(name="a", value="é"),)),
]
SECRET = "my secret diagnosis"


@pytest.mark.parametrize("reply", UNTELLABLE, ids=["key", "header"])
def test_a_key_or_header_that_is_none_costs_nobody_who_waits_an_answer(journal: Journal, reply: Reply) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    asked = fold(shard, journal.ask("how?", vector(1)))
    fold(shard, journal.ask("how?", vector(1), reply=reply))
    fold(shard, journal.ask("how?", vector(1)))
    answered = fold(shard, journal.answer(forward_id(asked), "so"))
    assert [each.request_id for each in responses(answered)] == ["r0", "r1", "r2"]
    assert effects(answered, "dead-letters") == []
    assert (len(shard.entries), shard.flights.waiting, len(shard.flights)) == (1, 0, 0)


@pytest.mark.parametrize("reply", UNTELLABLE, ids=["key", "header"])
def test_a_deadline_is_told_without_a_key_or_header_that_is_none(journal: Journal, reply: Reply) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    fold(shard, journal.ask("how?", vector(1), reply=reply))
    fold(shard, journal.ask("how?", vector(1)))
    assert [each.request_id for each in responses(fold(shard, journal.tick(after_ms=10_000)))] == ["r0", "r1"]
    assert shard.flights.waiting == 0
    assert responses(fold(shard, journal.tick(after_ms=1))) == []


@pytest.mark.parametrize("reply", UNTELLABLE, ids=["key", "header"])
def test_a_hit_is_told_without_a_key_or_header_that_is_none(journal: Journal, reply: Reply) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    remembered(journal, shard, "how?", vector(1))
    folded = fold(shard, journal.ask("how?", vector(1), reply=reply))
    assert [each.outcome for each in folded.decisions] == [Outcome.HIT]
    (told,) = effects(folded, "responses")
    assert (told.key, told.headers) == (None, ())


def test_an_answer_that_cannot_be_written_is_an_error_to_all_who_wait_and_changes_nothing_else(
    journal: Journal,
) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    remembered(journal, shard, "why?", vector(0, 1))
    asked = fold(shard, journal.ask("how?", vector(1)))
    fold(shard, journal.ask("how?", vector(1)))
    message = {"role": "assistant", "content": "\ud800"}
    body = {"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    folded = fold(shard, journal.add(Answered(forward_id=forward_id(asked), body=Sealed(data=json.dumps(body)))))
    assert [each.error.code for each in responses(folded) if each.error is not None] == ["fold_failed"] * 2
    assert (len(shard.entries), len(shard.flights)) == (1, 0)
    assert fold(shard, journal.ask("why?", vector(0, 1))).decisions[0].outcome is Outcome.HIT


def test_what_an_error_says_stays_out_of_the_reason(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    asked = fold(shard, journal.ask("how?", vector(1)))
    folded = fold(shard, journal.add(Answered(forward_id=forward_id(asked), body=Sealed(data=f'["{SECRET}"'))))
    (letter,) = effects(folded, "dead-letters")
    assert dict(letter.headers)["refrain.dead.reason"] == b"fold_failed: JSONDecodeError of Answered"


def test_a_record_that_is_too_large_is_set_aside_unread(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    large = journal.add(b'{"v": 2, "a": "' + b"x" * RECORD_BYTES_MAX)
    (letter,) = effects(fold(shard, large), "dead-letters")
    assert (dict(letter.headers)["refrain.dead.reason"] or b"").startswith(b"too_large: ")
    assert shard.next_offset == large.offset + 1


def test_junk_keeps_its_text_only_where_no_category_is_never(journal: Journal) -> None:
    shard = new_shard()
    assert [each.value for each in effects(fold(shard, journal.add(b"junk")), "dead-letters")] == [None]
    fold(shard, journal.policy())
    assert [each.value for each in effects(fold(shard, journal.add(b"junk")), "dead-letters")] == [None]
    fold(shard, journal.add(PolicySet(version=1, policy=Policy(categories={"code": CategoryPolicy()}))))
    assert [each.value for each in effects(fold(shard, journal.add(b"junk")), "dead-letters")] == [b"junk"]


def test_a_million_wrong_fields_are_counted_and_not_listed(journal: Journal) -> None:
    asked = json.loads(journal.ask("how?", None).value or b"")
    value = json.dumps(asked | {"fields": {str(n): n for n in range(100_000)}}).encode()
    (letter,) = effects(fold(new_shard(), Record("journal", 0, 9, 0, None, value)), "dead-letters")
    assert dict(letter.headers)["refrain.dead.reason"] == b"unreadable: not a journal record: 100000 fields are wrong"
