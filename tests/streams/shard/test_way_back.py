"""The way back in a forward lets populate tell the requester just what the shard would have told."""

from __future__ import annotations

import json
from typing import Any

from refrain.schemas.control import PolicyInForce
from refrain.schemas.forwards import Completion, Forward, Status
from refrain.schemas.journal import Answered, AnswerWithheld, decode_event
from refrain.schemas.policy import Cacheable, Policy
from refrain.schemas.responses import Outcome, Response
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.shards import Shards
from refrain.streams.metrics import Metrics
from refrain.streams.populate.worker import PopulateStep
from refrain.streams.shard.fold import fold
from tests.streams.shard.journal import JOURNAL_ID, Journal, effects, fold_all, new_shard, policy, remembered, responses
from tests.streams.signed import ROUTES

BODY: dict[str, Any] = {
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "an answer"}, "finish_reason": "stop"}],
}


def carried(forward: Outgoing, in_force: Policy) -> list[Outgoing]:
    """What populate makes of the model's answer under a policy."""
    asked = Forward.decode(forward.value or b"")
    route = ROUTES.sign(asked.route, asked.forward_id)
    completion = Completion(forward_id=asked.forward_id, route=route, status=Status.OK, body=BODY)
    known = PolicyInForce(version=1, who="w", at_ms=0, policy=in_force)
    populate = PopulateStep(Shards(32, JOURNAL_ID), ROUTES, Metrics())
    populate.follow(known)
    return populate.process([Record("completions", 0, 0, 1_000_100, None, completion.encode())])


def test_a_requester_is_told_the_same_with_and_without_the_shard() -> None:
    journal, shard = Journal(), new_shard()
    folded = fold_all(shard, [journal.policy(), journal.ask("how?", None)])
    (forward,) = effects(folded, "forwards")
    told, withheld = carried(forward, policy(cache=Cacheable.NEVER))
    assert isinstance(decode_event(withheld.value or b""), AnswerWithheld)
    (answered,) = carried(forward, policy())
    event = decode_event(answered.value or b"")
    assert isinstance(event, Answered)
    landed = fold(shard, journal.add(event))
    (by_shard,) = effects(landed, "responses")
    assert by_shard == told
    assert responses(landed)[0] == Response.decode(told.value or b"")
    assert json.loads(told.value or b"")["body"] == BODY


def test_a_new_answer_that_nobody_waits_for_has_nobody_on_its_way_back() -> None:
    journal, shard = Journal(), new_shard()
    fold_all(shard, [journal.policy(ttl_ms=1_000, stale_while_revalidate_ms=60_000)])
    remembered(journal, shard, "how?", None)
    served = fold(shard, journal.ask("how?", None, after_ms=2_000))
    assert [response.outcome for response in responses(served)] == [Outcome.HIT]
    (forward,) = effects(served, "forwards")
    assert [out.topic for out in carried(forward, policy(cache=Cacheable.NEVER))] == ["journal"]
