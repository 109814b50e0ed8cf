"""A decision is found by whatever people have of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from refrain.ops.cluster.decisions import find_decision, sought_in
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.responses import DecisionSummary, Outcome, Response
from refrain.streams.errors import BadInput
from refrain.streams.govern.decision_search import SoughtDecision
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.messaging.ids import decision_id, decision_tag

JOURNAL = "the-journal's-topic-id"
DECISION = Decision(
    id="3-57-tag", journal=JOURNAL, partition=1, offset=930, time_ms=1, tenant="t", category="code", model="m",
    outcome=Outcome.HIT, reason=Reason.EXACT_TEXT,
)  # fmt: skip
SUMMARY = DecisionSummary(id="3-57-tag", partition=1, offset=930, reason="exact_text")
RESPONSE = Response(request_id="r", tenant="t", outcome=Outcome.HIT, body={"id": "chatcmpl-1"}, decision=SUMMARY)
PLACED = SoughtDecision("3-57-tag", 1, 930)


def reply(response: Response | None) -> dict[str, Any]:
    """As `refrain ask --json` prints it."""
    told = None if response is None else response.model_dump(mode="json")
    return {"number": 0, "latency_ms": 4.0, "failure": None, "response": told}


@pytest.fixture
def cluster() -> MemoryCluster:
    cluster = MemoryCluster(lambda: 0, {"requests": 4, "journal": 2, "decisions": 2}, {"journal": JOURNAL})
    made = [DECISION.model_copy(update={"id": f"4-{offset}-tag", "offset": offset}) for offset in range(900)]
    made += [DECISION, DECISION.model_copy(update={"id": "3-58-tag"})]
    cluster.append([Outgoing("decisions", each.id.encode(), each.encode(), (), each.partition) for each in made])
    return cluster


@pytest.mark.parametrize(
    "text",
    [
        DECISION.encode().decode(),
        RESPONSE.encode().decode(),
        "\n" + RESPONSE.model_dump_json(indent=2) + "\n",
        SUMMARY.model_dump_json(),
        json.dumps(reply(RESPONSE)),
    ],
)
def test_a_text_that_has_the_place_tells_it(text: str) -> None:
    assert sought_in(text) == PLACED


@pytest.mark.parametrize("text", ["3-57-tag", " 3-57-tag\n", '{"id": "3-57-tag"}', '{"decision": {"id": "3-57-tag"}}'])
def test_an_id_is_enough(text: str) -> None:
    assert sought_in(text) == SoughtDecision("3-57-tag")


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"id": 7}',
        '{"id": ""}',
        '{"decision": null, "error": {"code": "bad_field"}}',
        json.dumps(reply(None)),
        "{not JSON",
        '{"a":' * 1_000,
    ],
)
def test_json_that_names_no_decision_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="names no decision"):
        sought_in(text)


def test_a_response_is_not_taken_for_its_decision_by_its_body() -> None:
    response = RESPONSE.model_dump(mode="json") | {"id": "another"}
    assert sought_in(json.dumps(response)) == PLACED


@pytest.mark.parametrize("sought", [PLACED, SoughtDecision("3-57-tag"), SoughtDecision("3-57-tag", 1, 4)])
def test_a_decision_is_found_with_its_place_and_without(cluster: MemoryCluster, sought: SoughtDecision) -> None:
    assert find_decision(cluster, sought, itertools.count(0, 500).__next__) == DECISION


class Timed(MemoryCluster):
    """Every record is a second later than the one before; notes where `decisions` is scanned from."""

    def __init__(self) -> None:
        self.ms = 0
        super().__init__(self._next_ms, {"requests": 2, "journal": 2, "decisions": 2})
        self.starts: list[tuple[int, int]] = []

    def _next_ms(self) -> int:
        self.ms += 1_000
        return self.ms

    def scan(
        self, topic: str, partition: int, start: int = 0, *, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Record]:
        self.starts.append((partition, start))
        return super().scan(topic, partition, start, stop=stop)

    def decide(self, number: int, tag: str) -> str:
        """Ask the question of that number, and decide it; the decision's id."""
        self.append([Outgoing("requests", None, b"{}", (), 1)])
        id_ = decision_id(1, number, tag)
        made = DECISION.model_copy(update={"id": id_, "offset": number})
        self.append([Outgoing("decisions", id_.encode(), made.encode(), (), number % 2)])
        return id_


@pytest.fixture
def timed() -> Timed:
    return Timed()


def test_by_its_id_alone_it_is_looked_for_near_the_time_of_its_request(timed: Timed) -> None:
    tag = decision_tag(timed.topic_id("requests"), timed.topic_id("journal"))
    ids = [timed.decide(number, tag) for number in range(200)]
    for number in (0, 77, 199):
        timed.starts.clear()
        found = find_decision(timed, SoughtDecision(ids[number]), itertools.count(0, 500).__next__)
        assert found is not None
        assert found.id == ids[number]
        assert all(start >= number // 2 - 4 for _, start in timed.starts)


@pytest.mark.parametrize("late", [False, True])
def test_where_the_request_says_nothing_it_is_looked_for_everywhere(timed: Timed, late: bool) -> None:
    """Its topic was recreated since; or the decision came an hour after it."""
    tag = decision_tag(timed.topic_id("requests"), timed.topic_id("journal")) if late else "a-former-tag"
    if late:
        timed.append([Outgoing("requests", None, b"{}", (), 1)])
        timed.ms += 3_600_000
    ids = [timed.decide(number, tag) for number in range(200)]
    found = find_decision(timed, SoughtDecision(ids[0]), itertools.count(0, 500).__next__)
    assert found is not None
    assert found.id == ids[0]


def test_a_request_of_a_topic_that_cannot_be_seen_says_nothing(timed: Timed) -> None:
    id_ = timed.decide(0, decision_tag(timed.topic_id("requests"), timed.topic_id("journal")))
    timed.delete("requests")
    found = find_decision(timed, SoughtDecision(id_), itertools.count(0, 500).__next__)
    assert found is not None
    assert found.id == id_


def test_requests_of_a_tenants_own_topic_tell_their_time_too(timed: Timed) -> None:
    timed.create("requests.acme", 2)
    timed.append([Outgoing("requests.acme", None, b"{}", (), 1)])
    tag = decision_tag(timed.topic_id("requests.acme"), timed.topic_id("journal"))
    ids = [timed.decide(number, tag) for number in range(200)]
    found = find_decision(timed, SoughtDecision(ids[0]), itertools.count(0, 500).__next__, "requests.acme")
    assert found is not None
    assert (found.id, {start for _, start in timed.starts}) == (ids[0], {0})


@pytest.mark.parametrize("id_", ["1-7-TAG", "9-7-TAG", "nonsense", ""])
def test_an_id_of_no_request_is_the_id_of_no_decision(timed: Timed, id_: str) -> None:
    tag = decision_tag(timed.topic_id("requests"), timed.topic_id("journal"))
    timed.decide(0, tag)
    sought = SoughtDecision(id_.replace("TAG", tag))
    assert find_decision(timed, sought, itertools.count(0, 500).__next__) is None


def test_none_is_found_where_there_is_none(cluster: MemoryCluster) -> None:
    assert find_decision(cluster, SoughtDecision("3-57-other", 1, 930), itertools.count(0, 500).__next__) is None
