"""Whatever anybody writes to a topic that a processor reads: the processor lives, and works what comes behind it.

Each record is answered or set aside once, and the good one at the end is worked as if nothing had been before it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from refrain.schemas.base import Sealed
from refrain.schemas.control import POLICY_KEY, Invalidate, PolicyInForce
from refrain.schemas.dead_letters import HEADER_OFFSET, HEADER_TOPIC
from refrain.schemas.doubts import DoubtRaised
from refrain.schemas.forwards import Completion, Forward, Status
from refrain.schemas.journal import Asked, Passed, decode_event
from refrain.schemas.load import LoadSample
from refrain.schemas.observations import Observation
from refrain.schemas.policy import Cacheable, CategoryPolicy, ModelPolicy, Policy
from refrain.schemas.policy_rules import Match, Rule
from refrain.schemas.topics import TOPICS
from refrain.streams.adapt.worker import run_adapt
from refrain.streams.classify.worker import run_classify
from refrain.streams.compare.worker import run_compare
from refrain.streams.govern.worker import run_govern
from refrain.streams.kafka.interface import Headers, Outgoing
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.lookup.worker import run_lookup
from refrain.streams.messaging.decoding import RECORD_BYTES_MAX
from refrain.streams.messaging.routes import ShardRoute
from refrain.streams.metrics import Metrics
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.models.verifier import SharedWordsVerifier
from refrain.streams.populate.worker import run_populate
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.settings import Adapt, Embedding, Settings, Upstream
from refrain.streams.upstream.model import Answer
from refrain.streams.upstream.worker import run_upstream
from refrain.streams.verify.worker import run_verify
from tests.streams.adapt.fake_faust_app import App
from tests.streams.outsiders import records_of
from tests.streams.shard.journal import Journal, vector
from tests.streams.signed import SIGNED, signed_route

WAIT_S = 10.0
NOW_MS = 1_000_000
LAST = "0-7-last"
POLICY = Policy(
    categories={"code": CategoryPolicy(), "medical": CategoryPolicy(cache=Cacheable.NEVER)},
    rules=(Rule(when=Match(pattern="diagnosis"), category="medical"),),
    models={LAST: ModelPolicy(latency_target_ms=100, queue_target=10)},
)
IN_FORCE = Outgoing("policies", POLICY_KEY, PolicyInForce(version=1, who="w", at_ms=0, policy=POLICY).encode())


class Model:
    """Answers at once."""

    async def answer(self, forward: Forward) -> Answer:
        await asyncio.sleep(0)
        return Answer(body={"a": 1})

    async def close(self) -> None:
        pass


class Case(NamedTuple):
    """A processor, what it reads, the good record at the end, and how to see that it was worked."""

    run: Callable[..., None]
    topic: str
    goldens: str
    last: Callable[[MemoryCluster], Outgoing]
    is_worked: Callable[[MemoryCluster], bool]
    more: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it


def holds(topic: str, text: str) -> Callable[[MemoryCluster], bool]:
    return lambda cluster: any(text.encode() in (record.value or b"") for record in cluster.records(topic))


def last_request(cluster: MemoryCluster) -> Outgoing:
    body = {"model": "m", "messages": [{"role": "user", "content": "What comes last?"}]}
    return Outgoing("requests", b"k", json.dumps({"request_id": LAST, "category": "code", "body": body}).encode())


def last_question(cluster: MemoryCluster) -> Outgoing:
    asked = json.loads(Journal().ask("What comes last?", vector(1)).value or b"")
    asked |= {"id": LAST, "origin": {**asked["origin"], "topic_id": "x"}}
    return Outgoing("journal", b"k", json.dumps(asked).encode())


def last_completion(cluster: MemoryCluster) -> Outgoing:
    route = signed_route(ShardRoute(forward_id=LAST, incarnation=cluster.topic_id("journal"), partition=0))
    done = Completion(forward_id=LAST, route=route, status=Status.OK, body={"a": 1}, latency_ms=1)
    return Outgoing("completions", b"k", done.encode())


def last_forward(cluster: MemoryCluster) -> Outgoing:
    route = signed_route(ShardRoute(forward_id=LAST, incarnation="i", partition=0))
    forward = Forward(forward_id=LAST, model="m", body={"q": 1}, deadline_at_ms=10**12, route=route)
    return Outgoing("forwards", b"k", forward.encode())


def last_sample(cluster: MemoryCluster) -> Outgoing:
    sample = LoadSample(model=LAST, replica="r", latency_p95_ms=180, queue_depth=18, at_ms=NOW_MS)
    return Outgoing("load", b"m", sample.encode())


def last_command(cluster: MemoryCluster) -> Outgoing:
    return Outgoing("control", None, Invalidate(who="w", tag=LAST).encode())


def last_observation(cluster: MemoryCluster) -> Outgoing:
    sealed = [Sealed(data=json.dumps({"message": {"content": text}})) for text in ("the one", "the other")]
    seen = Observation(
        decision_id=LAST, tenant="t", category="code", model="m", entry_id="0-4-x", time_ms=1, equal=False,
        cached=sealed[0], answered=sealed[1],
    )  # fmt: skip
    return Outgoing("observations", b"k", seen.encode())


def last_doubt(cluster: MemoryCluster) -> Outgoing:
    doubt = DoubtRaised(
        id=LAST, partition=0, incarnation=cluster.topic_id("journal"), category="code", entry=4,
        question=Sealed(data="How?"), cached=Sealed(data="How so?"), deadline_at_ms=10**12,
    )  # fmt: skip
    return Outgoing("doubts", b"k", doubt.encode())


CASES = {
    "classify": Case(run_classify, "requests", "Request", last_request, holds("journal", LAST)),
    "lookup": Case(run_lookup, "journal", "journal", last_question, holds("forwards", LAST)),
    "populate": Case(run_populate, "completions", "Completion", last_completion, holds("journal", LAST)),
    "upstream": Case(
        run_upstream, "forwards", "Forward", last_forward, holds("completions", LAST), {"make_model": Model}
    ),
    "adapt": Case(run_adapt, "load", "LoadSample", last_sample, holds("control", LAST)),
    "govern": Case(run_govern, "control", "control", last_command, holds("journal", LAST)),
    "compare": Case(
        run_compare, "observations", "Observation", last_observation, holds("comparisons", LAST),
        {"embedder": HashingEmbedder()},
    ),
    "verify": Case(
        run_verify, "doubts", "DoubtRaised", last_doubt, holds("journal", LAST), {"verifier": SharedWordsVerifier()}
    ),
}  # fmt: skip
BESIDE = {"upstream": ("completions", "Completion"), "govern": ("decisions", "Decision")}
"""What a processor looks back at."""
FOLLOWERS = ("classify", "populate", "adapt", "govern")
run_often = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    # What fails waits for its end each time: it is shown as it was drawn.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


def run(name: str, records: Iterable[Outgoing]) -> MemoryCluster:
    """Run the processor over the records, until the good one behind them is worked."""
    case = CASES[name]
    cluster = MemoryCluster(lambda: NOW_MS, {topic.name: 1 for topic in TOPICS})
    for topic in TOPICS:
        cluster.create(topic.name, 1, max_bytes=10 * RECORD_BYTES_MAX)
    cluster.append([IN_FORCE, *records, case.last(cluster)])
    until = time.monotonic() + WAIT_S
    ticks = itertools.count(NOW_MS, 50)
    more = {"make_app": lambda made, name: App(cluster, made.prefix, made.prefix + name)} if name == "adapt" else {}
    with tempfile.TemporaryDirectory() as folder:
        context = WorkerContext(
            Settings(
                state_dir=Path(folder),
                routes=SIGNED,
                embedding=Embedding(backend="free"),
                adapt=Adapt(interval_ms=100),
                upstream=Upstream(connector="simulated", load_interval_ms=100),
            ),
            cluster,
            Metrics(),
            stop=lambda: case.is_worked(cluster) or time.monotonic() > until,
            ready=lambda: None,
            now_ms=lambda: next(ticks),
        )
        case.run(context, **case.more, **more)
    assert case.is_worked(cluster)
    return cluster


def set_aside(cluster: MemoryCluster, topic: str) -> list[int]:
    """The offsets of the topic that have a dead letter."""
    letters = [dict(letter.headers) for letter in cluster.records("dead-letters")]
    return [int(letter[HEADER_OFFSET] or b"") for letter in letters if letter[HEADER_TOPIC] == topic.encode()]


@pytest.mark.parametrize("name", CASES)
@run_often
@given(st.data())
def test_whatever_is_written_to_its_topic_a_processor_lives_and_sets_a_record_aside_once(
    name: str, data: st.DataObject
) -> None:
    case = CASES[name]
    cluster = run(name, data.draw(records_of(case.topic, case.goldens)))
    assert all(count == 1 for count in Counter(set_aside(cluster, case.topic)).values())


@run_often
@given(records_of("requests", "Request"))
def test_each_request_is_answered_asked_passed_or_set_aside_once(records: Sequence[Outgoing]) -> None:
    cluster = run("classify", records)
    events = [decode_event(record.value or b"") for record in cluster.records("journal")]
    known = [event.origin.offset for event in events if isinstance(event, Asked | Passed)]
    aside = set_aside(cluster, "requests")
    assert sorted([*known, *aside]) == list(range(len(records) + 1))
    errors = [record for record in cluster.records("responses") if b'"outcome":"error"' in (record.value or b"")]
    assert len(errors) >= len(aside), "whoever sent it is told"


@pytest.mark.parametrize("name", BESIDE)
@run_often
@given(st.data())
def test_whatever_a_processor_looks_back_at_it_lives(name: str, data: st.DataObject) -> None:
    run(name, data.draw(records_of(*BESIDE[name])))


@pytest.mark.parametrize("name", FOLLOWERS)
@run_often
@given(st.data())
def test_what_is_no_policy_leaves_the_one_before_it_in_force(name: str, data: st.DataObject) -> None:
    junk = [record for record in data.draw(records_of("policies", "Completion")) if record.value is not None]
    run(name, [record._replace(key=POLICY_KEY) for record in junk])


LARGE: dict[str, tuple[bytes | None, bytes | None, Headers]] = {
    "a value": (b"k", b'{"a": "' + b"x" * RECORD_BYTES_MAX + b'"}', ()),
    "deep": (b"k", b"[" * 2_000_000, ()),
    "deep objects": (b"k", b'{"a":' * 400_000, ()),
    "a number": (b"k", b'{"v":1,"a":' + b"9" * 2_000_000 + b"}", ()),
    "many keys": (b"k", b"{" + b",".join(b'"%d":0' % n for n in range(150_000)) + b"}", ()),
    "a key": (b"k" * 2_400_000, b"v", ()),
    "a header": (b"k", b"v", (("h", b"x" * 2_400_000),)),
    "a header over the limit": (b"k", b"v", (("h", b"x" * 3_000_000),)),
    "empty headers": (b"k", b"v", (("", b""),) * 65_000),
    "nothing": (None, None, ()),
    "a name that is not UTF-8": (None, b"v", (("\udcff\udcfe", b"x"),)),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", CASES)
def test_what_is_large_deep_or_empty_is_set_aside_once_each(name: str) -> None:
    case = CASES[name]
    cluster = run(name, [Outgoing(case.topic, *each) for each in LARGE.values()])
    assert sorted(set_aside(cluster, case.topic)) == list(range(len(LARGE)))
    for letter in cluster.records("dead-letters"):
        assert sum(len(name) + len(value or b"") for name, value in letter.headers) < 2_100_000
