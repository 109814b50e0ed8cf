"""The way back in a forward lets populate tell the requester just what the shard would have told."""

from __future__ import annotations

import json
from typing import Any

from schemas.control import PolicyInForce
from schemas.forwards import Completion, Forward, Status
from schemas.journal import Answered, AnswerWithheld, decode_event
from schemas.policy import Cacheable, Policy
from schemas.responses import Response
from streams.log import Outgoing, Record
from streams.metrics import Metrics
from streams.populate import Populate
from streams.shard.fold import fold
from tests.streams.shard.build import JOURNAL_ID, Journal, effects, fold_all, new_shard, policy, responses

BODY: dict[str, Any] = {
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "an answer"}, "finish_reason": "stop"}],
}


def carried(forward: Outgoing, in_force: Policy) -> list[Outgoing]:
    """What populate makes of the model's answer under a policy."""
    asked = Forward.decode(forward.value or b"")
    completion = Completion(forward_id=asked.forward_id, route=asked.route, status=Status.OK, body=BODY)
    known = PolicyInForce(version=1, who="w", at_ms=0, policy=in_force)
    populate = Populate(32, JOURNAL_ID, Metrics(), lambda: known)
    return populate([Record("completions", 0, 0, 1_000_100, None, completion.encode())])


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
