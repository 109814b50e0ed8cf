"""Whoever may write completions answers what was forwarded, and can do nothing else with it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from refrain.schemas.base import Reply
from refrain.schemas.control import POLICY_KEY, PolicyInForce
from refrain.schemas.dead_letters import HEADER_REASON
from refrain.schemas.forwards import Completion, Forward, Status
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.schemas.responses import DecisionSummary, Response
from refrain.schemas.topics import BY_NAME
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.messaging.routes import DirectRoute, ShardRoute, encode_route
from refrain.streams.messaging.shards import Shards
from refrain.streams.messaging.signed_routes import RouteSigner
from refrain.streams.messaging.signing import SigningKeys
from refrain.streams.metrics import Metrics
from refrain.streams.populate.worker import PopulateStep, run_populate
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.settings import Routes, Settings
from tests.streams.signed import KEY, PREFIX, ROUTES, SIGNED, signed_route

INCARNATION = "journal-1"
SECRET = "text that nobody may see"
OTHER = RouteSigner(SigningKeys([b"o" * 32]), PREFIX)


def to_shard(forward_id: str = "f", reply: Reply | None = None) -> ShardRoute:
    return ShardRoute(forward_id=forward_id, incarnation=INCARNATION, partition=3, category="chat", reply=reply)


def direct(topic: str = "responses", forward_id: str = "f") -> DirectRoute:
    return DirectRoute(
        forward_id=forward_id,
        tenant="acme",
        reply=Reply.model_construct(topic=topic, partition=None, key=None, headers=()),
        decision=DecisionSummary(id=forward_id, reason="category_never"),
    )


def completed(route: str, forward_id: str = "f", **other: Any) -> bytes:
    said = {"v": 1, "forward_id": forward_id, "route": route, "status": "ok", "body": {"text": SECRET}}
    return json.dumps(said | other).encode()


def record(value: bytes) -> Record:
    return Record("completions", 0, 0, 1, b"f", value, (("note", SECRET.encode()),))


def populating(routes: RouteSigner, metrics: Metrics | None = None) -> PopulateStep:
    step = PopulateStep(Shards(32, INCARNATION), routes, metrics or Metrics())
    step.follow(PolicyInForce(version=1, who="w", at_ms=0, policy=Policy(categories={"chat": CategoryPolicy()})))
    return step


def reason_of(letter: Outgoing) -> str:
    return (dict(letter.headers)[HEADER_REASON] or b"").decode()


def tampered(change: Callable[[dict[str, Any]], None]) -> str:
    """A route whose text was changed after it was signed."""
    signed = signed_route(to_shard())
    _, signature = signed.split(".", 1)
    route = json.loads(to_shard().model_dump_json())
    change(route)
    changed = ShardRoute.model_validate(route)
    return f"{encode_route(changed)}.{signature}"


FORGED = {
    "another key": signed_route(to_shard(), OTHER),
    "another prefix": signed_route(to_shard(), RouteSigner(ROUTES.keys, "other.")),
    "another partition": tampered(lambda route: route.update(partition=4)),
    "another requester": tampered(lambda route: route.update(reply={"topic": "responses", "headers": []})),
    "another question": signed_route(to_shard("g")),
    "another question of the same text": ROUTES.sign(encode_route(to_shard("f")), "g"),
    "a cut signature": signed_route(to_shard())[:-1],
    "a longer signature": signed_route(to_shard()) + "A",
    "two signatures": signed_route(to_shard()) + "." + signed_route(to_shard()).split(".", 1)[1],
    "no key": encode_route(to_shard()) + "..",
    "no text": "." + signed_route(to_shard()).split(".", 1)[1],
    "letters beyond ASCII": "ä.ö.ü",
}


@pytest.mark.parametrize("route", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("unsigned", [False, True], ids=["refused", "accepted"])
def test_a_route_that_was_not_signed_for_this_forward_is_not_followed(
    route: str, unsigned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    populate = populating(RouteSigner(SigningKeys([KEY]), PREFIX, accept_unsigned=unsigned), metrics)
    with caplog.at_level(logging.DEBUG):
        (letter,) = populate.process([record(completed(route))])
    assert letter.topic == "dead-letters"
    assert reason_of(letter).startswith("route_forged: ")
    assert SECRET not in str(letter)
    assert SECRET not in caplog.text
    labels = {"processor": "populate", "reason": "route_forged"}
    assert metrics.registry.get_sample_value("refrain_refused_total", labels) == 1


@pytest.mark.parametrize("route", ["nonsense", "", "ä", encode_route(to_shard()), encode_route(direct())])
def test_a_route_without_a_signature_is_not_followed(route: str) -> None:
    (letter,) = populating(ROUTES).process([record(completed(route))])
    assert letter.topic == "dead-letters"
    assert reason_of(letter).startswith("route_unsigned: ")
    assert SECRET not in str(letter)


@pytest.mark.parametrize("route", [encode_route(to_shard()), FORGED["another key"]])
def test_a_broken_completion_whose_route_is_not_ours_tells_nobody_anything(route: str) -> None:
    (letter,) = populating(ROUTES).process([record(completed(route, status=SECRET))])
    assert letter.topic == "dead-letters"
    assert SECRET not in str(letter)


def test_whose_key_it_is_stands_in_the_reason() -> None:
    (letter,) = populating(ROUTES).process([record(completed(FORGED["another key"]))])
    assert f"signed with key {OTHER.keys.ids[0]}, this worker has {ROUTES.keys.ids[0]}" in reason_of(letter)


@pytest.mark.parametrize(
    "topic",
    [
        *sorted(BY_NAME.keys() - {"responses"}),
        *(f"/{PREFIX}{name}" for name in BY_NAME),
        "/__consumer_offsets",
        "/__transaction_state",
        "/bad topic!",
        "/..",
        "/",
        "",
        "/" + "x" * 250,
    ],
)
@pytest.mark.parametrize("unsigned", [False, True], ids=["signed", "unsigned"])
@pytest.mark.parametrize("shard", [False, True], ids=["direct", "shard"])
def test_no_route_leads_to_a_topic_of_our_own_signed_or_not(topic: str, unsigned: bool, shard: bool) -> None:
    signer = RouteSigner(SigningKeys([KEY]), PREFIX, accept_unsigned=True)
    route: ShardRoute | DirectRoute = direct(topic)
    if shard:
        route = to_shard().model_copy(update={"reply": direct(topic).reply, "category": "unknown"})
    text = encode_route(route) if unsigned else signed_route(route)
    (letter,) = populating(signer).process([record(completed(text))])
    assert letter.topic == "dead-letters"
    assert reason_of(letter).partition(":")[0] in ("bad_reply_to", "not_asked")


def test_a_reply_topic_of_the_clients_is_answered() -> None:
    (told,) = populating(ROUTES).process([record(completed(signed_route(direct("/answers.shop"))))])
    assert told.topic == "/answers.shop"
    assert Response.decode(told.value or b"").body == {"text": SECRET}


def test_an_unsigned_route_is_followed_while_the_settings_accept_it() -> None:
    accepting = RouteSigner(SigningKeys([KEY]), PREFIX, accept_unsigned=True)
    (event,) = populating(accepting).process([record(completed(encode_route(to_shard())))])
    assert (event.topic, event.partition) == ("journal", 3)


def test_a_key_can_take_the_place_of_another_while_routes_of_both_are_on_their_way() -> None:
    old, new = b"1" * 32, b"2" * 32
    before, between, after = (RouteSigner(SigningKeys(keys), PREFIX) for keys in ([old, new], [new, old], [new]))
    of_old, of_new = signed_route(to_shard(), before), signed_route(to_shard(), between)
    assert of_old != of_new
    for signer in (before, between):
        for route in (of_old, of_new):
            (event,) = populating(signer).process([record(completed(route))])
            assert event.topic == "journal"
    (event,) = populating(after).process([record(completed(of_new))])
    assert event.topic == "journal"
    (letter,) = populating(after).process([record(completed(of_old))])
    assert letter.topic == "dead-letters"


def test_a_forged_completion_that_an_earlier_worker_met_does_not_keep_the_true_one_from_its_requester() -> None:
    cluster = MemoryCluster(lambda: 5)
    cluster.append([Outgoing("policies", POLICY_KEY, PolicyInForce(version=1, who="w", at_ms=0, policy=Policy(
        categories={"chat": CategoryPolicy()})).encode())])  # fmt: skip

    def run(value: bytes, until: Callable[[], bool]) -> None:
        cluster.append([Outgoing("completions", b"f", value)])
        settings = Settings(routes=SIGNED)
        run_populate(WorkerContext(settings, cluster, Metrics(), stop=until, ready=lambda: None, now_ms=lambda: 5))

    run(completed(encode_route(direct())), lambda: bool(cluster.records("dead-letters")))
    run(completed(signed_route(direct())), lambda: bool(cluster.records("responses")))
    assert len(cluster.records("responses")) == 1


def test_a_worker_tells_its_keys_and_that_it_accepts_what_is_not_signed(caplog: pytest.LogCaptureFixture) -> None:
    cluster = MemoryCluster(lambda: 5)
    cluster.append([Outgoing("policies", POLICY_KEY, PolicyInForce(version=1, who="w", at_ms=0, policy=Policy(
        categories={"chat": CategoryPolicy()})).encode())])  # fmt: skip
    settings = Settings(routes=Routes(keys=SIGNED.keys, unsigned="accept"))
    run_populate(
        WorkerContext(
            settings,
            cluster,
            Metrics(),
            stop=lambda: bool(cluster.records("acknowledgements")),
            ready=lambda: None,
            now_ms=lambda: 5,
        )
    )
    said = json.loads(cluster.records("acknowledgements")[0].value or b"")
    assert said["route_keys"] == [ROUTES.keys.ids[0]]
    assert "unsigned routes are accepted" in caplog.text


def test_the_example_connector_hands_the_route_back_unchanged() -> None:
    from infra.examples.connector import completion

    forward = Forward(
        forward_id="f", model="m", body={"messages": []}, deadline_at_ms=10, route=signed_route(to_shard())
    )
    for now_ms in (5, 20):
        made = completion(json.loads(forward.encode()), lambda body: {"choices": []}, now_ms)
        assert Completion.decode(json.dumps(made)).status is (Status.OK if now_ms == 5 else Status.FAILED)
        (event,) = populating(ROUTES).process([record(json.dumps(made).encode())])
        assert (event.topic, event.partition) == ("journal", 3)
