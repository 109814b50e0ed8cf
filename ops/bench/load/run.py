"""One run of `refrain bench load`: a real shard, real decisions of `adapt` and a simulated model, in virtual time.

arrivals -> fold -> forwards -> connector and model -> fold
             ^                          | load samples
             +------ LoadChanged <- LoadController of adapt
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from refrain.ops.bench.load.model import Call, CompletedCall, Connector
from refrain.ops.bench.load.scenario import (
    CALLS_A_SLOT,
    CATEGORIES,
    CODER,
    GENERAL,
    MEDIAN_MS,
    SIGMA,
    START_MS,
    policy,
    slots_of,
)
from refrain.ops.bench.load.traffic import Arrival
from refrain.ops.bench.load.truth import Truth
from refrain.schemas.base import Message, Reply, Sealed
from refrain.schemas.control import ReportLoad
from refrain.schemas.decisions import Decision
from refrain.schemas.forwards import Forward
from refrain.schemas.journal import Answered, AnswerFailed, Asked, LoadChanged, Origin, PolicySet, Seen, Tick
from refrain.schemas.load import LoadSample
from refrain.schemas.policy import Cacheable, CategoryPolicy
from refrain.schemas.responses import Outcome, Problem
from refrain.streams.adapt.load_controller import AdaptMetrics, LoadController
from refrain.streams.adapt.load_window import Smoothed, load_of
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.ids import decision_id, parse_request_id
from refrain.streams.metrics import Metrics
from refrain.streams.settings import Adapt
from refrain.streams.shard.fold import fold
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard
from refrain.streams.store.interface import Checkpoint
from refrain.streams.store.memory import MemoryStore

TENANT = "bench"
TAG = "feedfeedfeed"
CONTEXT = "0" * 32
COMMIT_EVERY = 2_000


class Mode(StrEnum):
    """Mode of a run: how it treats load."""

    BASE = "base"
    """The policy as it is at load 0, whatever comes."""
    ADAPTIVE = "adaptive"
    RELAXED = "relaxed"
    """The policy as it is at load 1, all the time."""


class QuestionOutcome(NamedTuple):
    """Outcome of one question.

    `below`: its answer came from a question less similar than the threshold at load 0. `right` and `stale`: whether the
    answer is one to this question, and whether it has changed since; None without an answer.
    """

    at_ms: int
    category: int
    kind: str
    outcome: Outcome
    forwarded: bool
    load_only: bool
    below: bool
    right: bool | None
    stale: bool | None


class LoadMove(NamedTuple):
    """Change of a model's load in the shard."""

    at_ms: int
    model: str
    load: float


class OverloadSample(NamedTuple):
    """Sample of the overloaded model at one moment: whether it is over its targets, and its load in the shard."""

    at_ms: int
    over: bool
    load: float


class SimulationRun(NamedTuple):
    """Result of one run: outcomes, load changes, overload samples."""

    outcomes: list[QuestionOutcome]
    load_moves: list[LoadMove]
    overload_samples: list[OverloadSample]


def asked_records(
    arrivals: Sequence[Arrival], texts: Sequence[str], vectors: Mapping[int, str], embedder: str
) -> list[bytes]:
    """The arrivals as journal records. `vectors` are those of record, by text."""
    categories = policy().categories
    return [
        _asked(number, each, texts[each.text], vectors[each.text], embedder, categories[CATEGORIES[each.category].name])
        for number, each in enumerate(arrivals)
    ]


def simulate(arrivals: Sequence[Arrival], records: Sequence[bytes], mode: Mode, seed: int) -> SimulationRun:
    """Simulate one run: fold all arrivals and what follows from them."""
    return _Simulation(arrivals, records, mode, seed).run()


class _Simulation:
    def __init__(self, arrivals: Sequence[Arrival], records: Sequence[bytes], mode: Mode, seed: int) -> None:
        self._arrivals = arrivals
        self._records = records
        self._mode = mode
        self._policy = policy()
        self._truth = Truth(seed)
        self._shard = Shard(0, 1, "bench", MemoryStore())
        self._settings = Adapt()
        self._controller = LoadController(self._settings, AdaptMetrics(Metrics()))
        self._controller.set_targets(self._policy.models)
        self._connectors = {
            model: Connector(model, slots_of(model), CALLS_A_SLOT * slots_of(model), MEDIAN_MS, SIGMA, seed)
            for model in (CODER, GENERAL)
        }
        self._known = False
        """Whether the question being folded is one of before the start."""
        self._offset = 0
        self._commands = 0
        self._decisions: dict[int, Decision] = {}
        self._answers: dict[int, tuple[bool, bool]] = {}
        self._load_moves: list[LoadMove] = []
        self._overload_samples: list[OverloadSample] = []
        self._report_ms = START_MS

    def run(self) -> SimulationRun:
        start_ms = self._arrivals[0].at_ms
        self._fold(PolicySet(version=0, policy=self._policy), start_ms)
        if self._mode is Mode.RELAXED:
            self._report_load(CODER, 1.0, START_MS * 10**6, start_ms)
        for number, arrival in enumerate(self._arrivals):
            self._until(arrival.at_ms)
            self._known = arrival.kind == "known"
            self._fold(self._records[number], arrival.at_ms)
        self._until(self._arrivals[-1].at_ms + self._settings.valid_for_ms)
        return SimulationRun(list(self._outcomes()), self._load_moves, self._overload_samples)

    def _until(self, at_ms: int) -> None:
        """Process all events before `at_ms`, in order."""
        while True:
            connector = min(self._connectors.values(), key=lambda each: each.next_ms)
            due_ms = min(connector.next_ms, self._report_ms)
            if due_ms >= at_ms:
                return
            if self._report_ms <= connector.next_ms:
                self._report(self._report_ms)
                self._report_ms += self._settings.interval_ms
            else:
                now_ms = round(connector.next_ms)
                self._completed(connector.advance(now_ms), now_ms)

    # --- the shard

    def _fold(self, message: Message | bytes, now_ms: int) -> None:
        value = message if isinstance(message, bytes) else message.encode()
        folded = fold(self._shard, Record("journal", 0, self._offset, now_ms, None, value))
        self._offset += 1
        if self._offset % COMMIT_EVERY == 0:
            self._shard.begin_commit()
            self._shard.finish_commit(Checkpoint(self._offset, now_ms))
        self._follow(folded, now_ms)

    def _follow(self, folded: FoldResult, now_ms: int) -> None:
        for decision in folded.decisions:
            self._decisions[_number(decision.id)] = decision
        for effect in folded.effects:
            if effect.topic == "forwards":
                forward = Forward.decode(effect.value or b"")
                if self._known:
                    self._completed([CompletedCall(forward.forward_id, True, round(MEDIAN_MS))], now_ms)
                    continue
                call = Call(forward.forward_id, forward.deadline_at_ms)
                self._completed(self._connectors[forward.model].take(call, now_ms), now_ms)
            elif effect.topic == "responses":
                self._answered(json.loads(effect.value or b""), now_ms)
            elif effect.topic == "dead-letters":
                raise ValueError(f"a record of the bench became a dead letter: {dict(effect.headers)}")

    def _answered(self, response: Mapping[str, object], now_ms: int) -> None:
        number = int(str(response["request_id"]))
        if response["body"] is not None:
            arrival = self._arrivals[number]
            self._answers[number] = self._truth.judged(arrival, response["body"], now_ms)

    # --- the model

    def _completed(self, done: Sequence[CompletedCall], now_ms: int) -> None:
        for each in done:
            if each.answered:
                arrival = self._arrivals[_number(each.forward_id)]
                body = Sealed(data=json.dumps(self._truth.answer(arrival, now_ms)))
                event: Message = Answered(forward_id=each.forward_id, body=body, latency_ms=each.latency_ms)
            else:
                problem = Problem(code="deadline", message="nobody waits for the answer any more")
                event = AnswerFailed(forward_id=each.forward_id, error=problem)
            self._fold(event, now_ms)

    # --- the load

    def _report(self, now_ms: int) -> None:
        over = False
        for connector in self._connectors.values():
            for sample in connector.samples(now_ms):
                self._controller.take(Record("load", 0, 0, now_ms, None, sample.encode()), now_ms)
                over = over or (sample.model == CODER and self._is_over(sample))
        for command in self._controller.commands(now_ms) if self._mode is Mode.ADAPTIVE else ():
            report = ReportLoad.decode(command.value or b"")
            self._report_load(report.model, report.load, report.valid_until_ms, now_ms)
        self._fold(Tick(), now_ms)
        self._overload_samples.append(OverloadSample(now_ms, over, self._shard.load_of(CODER)))

    def _is_over(self, sample: LoadSample) -> bool:
        return load_of(Smoothed(sample.latency_p95_ms, sample.queue_depth), self._policy.models[sample.model]) > 0

    def _report_load(self, model: str, load: float, valid_until_ms: int, now_ms: int) -> None:
        if load != self._shard.load_of(model):
            self._load_moves.append(LoadMove(now_ms, model, load))
        self._commands += 1
        event = LoadChanged(version=self._commands, model=model, load=load, valid_until_ms=valid_until_ms)
        self._fold(event, now_ms)

    # --- outcomes

    def _outcomes(self) -> Iterator[QuestionOutcome]:
        for number, arrival in enumerate(self._arrivals):
            decision = self._decisions[number]
            right, stale = self._answers.get(number, (None, None))
            yield QuestionOutcome(
                arrival.at_ms,
                arrival.category,
                arrival.kind,
                decision.outcome,
                decision.forward_id == decision.id,
                _load_only(decision),
                _is_below(decision),
                right,
                stale,
            )


def _load_only(decision: Decision) -> bool:
    """Whether load alone let another question's answer serve, or its flight be joined."""
    return decision.load_only or (decision.outcome is Outcome.COALESCED and _is_below(decision))


def _is_below(decision: Decision) -> bool:
    similarity, base = decision.similarity, decision.base_threshold
    return similarity is not None and base is not None and similarity < base


def _asked(number: int, arrival: Arrival, text: str, vector: str, embedder: str, category: CategoryPolicy) -> bytes:
    body = {"model": CATEGORIES[arrival.category].model, "messages": [{"role": "user", "content": text}]}
    return Asked(
        id=decision_id(0, number, TAG),
        origin=Origin(topic="requests", topic_id="bench", partition=0, offset=number),
        request_id=str(number),
        tenant=TENANT,
        space=TENANT,
        category=CATEGORIES[arrival.category].name,
        classifier="request",
        model=CATEGORIES[arrival.category].model,
        embedder=embedder,
        context=CONTEXT,
        text_digest=hashlib.sha256(text.encode()).hexdigest()[:32],
        vector=vector,
        question=Sealed(data=text),
        body=Sealed(data=json.dumps(body)),
        reply=Reply(topic="responses"),
        seen=Seen(policy_version=0, cache=Cacheable.ALLOW, threshold=category.threshold, ttl_ms=category.ttl_ms),
    ).encode()


def _number(id_: str) -> int:
    """The number of the arrival that a decision or a forward is about."""
    asked = parse_request_id(id_)
    if asked is None:
        raise ValueError(f"{id_!r} is the id of no decision or forward")
    return asked.offset
