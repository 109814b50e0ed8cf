"""The promises, looked at on a run's own topics, stores and workers: reads what `checks` judges."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from refrain.ops.ask.client import AskReply, Client
from refrain.schemas.control import decode_command
from refrain.schemas.decisions import Decision
from refrain.schemas.documents import Entry
from refrain.schemas.load import LoadSample
from refrain.schemas.requests import Request
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.upstream.simulated.server import SimulatedServer
from tests.simulation import checks, traffic
from tests.simulation.bench import Bench, wait_until
from tests.simulation.records import (
    Folded,
    State,
    commands,
    folded_documents,
    recorded,
    records,
    refused_commands,
    stored,
)
from tests.simulation.replay import replay
from tests.simulation.withdrawn import served_after_withdrawal

ANSWER_S = 150.0
IN_FLIGHT_MAX = 150
SAMPLE = 400
COMMANDS_S = 30.0


def check(bench: Bench, replies: Sequence[AskReply]) -> list[Folded]:
    report = bench.report
    bench.step("read the topics", 0, 1)
    found = recorded(bench.log)
    checks.answered(report, replies, found)
    checks.decided(report, found)
    checks.called(report, _calls(bench.server), found.forwards)
    report.figures["dead_letters"] = dict(found.dead)
    # A hit may be judged before its decision is committed: then the command is refused, and given again by its giver.
    unexpected = {name for name in found.dead if not name.startswith("govern unknown_decision")}
    report.expect("nothing becomes a dead letter", unexpected)
    documents = compare_stores(bench, "stopped")
    bench.step("fold the journal again", 0, 1)
    until = {at: _next_offset(each.state) for at, each in enumerate(documents)}
    live = {id_: Decision.decode(each[0]) for id_, each in found.decisions.items()}
    report.expect("nothing withdrawn is served from its withdrawal on", served_after_withdrawal(bench.log, live))
    checks.folded_again(report, found, replay(bench.log, live, until), documents)
    if bench.run.shared:
        report.expect("a namespace is past the switch to HNSW", [] if report.figures["ann_hits"] else ["none is"])
        report.expect("entries are evicted", [] if report.figures["evictions"] else ["none is"])
    return documents


def _calls(server: SimulatedServer) -> Counter[str]:
    return Counter(seen.headers.get("idempotency-key", "") for seen in server.calls)


def _next_offset(state: State) -> int:
    found = state.get(b"meta/meta")
    return -1 if found is None else int(json.loads(found)["next_offset"])


Kept = list[tuple[Request, dict[str, Any]]]
Identity = tuple[str, str, str, bool, str]
"""Tenant, category, model, whether there is a system prompt, and the text."""


def to_ask_again(bench: Bench, replies: Sequence[AskReply], documents: Sequence[Folded]) -> Kept:
    """Questions whose answers are kept, with the message that must come: a sample."""
    kept: dict[Identity, dict[str, Any]] = {}
    for each in documents:
        for key, value in each.state.items():
            if key.startswith(b"entries/"):
                entry = Entry.decode(value)
                system = "messages[1]" in entry.fields
                known = (entry.tenant, entry.category, entry.model, system, entry.question.data)
                kept[known] = json.loads(entry.answer.data)["message"]
    found: dict[Identity, tuple[Request, dict[str, Any]]] = {}
    for request in (reply.request for reply in replies if reply.response is not None):
        body = request.body
        wanted = (request.tenant, request.category or "", body["model"], len(body["messages"]) > 1,
                  traffic.question(request))  # fmt: skip
        if wanted in kept:
            found[wanted] = (traffic.ask_again(request), kept[wanted])
    sample = list(found.values())
    random.Random(f"again/{bench.run.seed}").shuffle(sample)
    bench.report.expect("something is kept", [] if sample else ["nothing is"])
    return sample[:SAMPLE]


def ask_again(bench: Bench, asker: Client, name: str, again: Kept) -> None:
    bench.step(f"ask again: {name}", 0, 1)
    bench.start_lookups()
    replies = asker.ask([request for request, _ in again], timeout_s=ANSWER_S, in_flight_max=IN_FLIGHT_MAX)
    checks.remembered(bench.report, name, replies, [message for _, message in again])


def compare_stores(bench: Bench, name: str) -> list[Folded]:
    """Fold `documents` and compare the local stores with it; returns what it holds. Lookup must not run."""
    bench.step(f"compare stores: {name}", 0, 1)
    documents = folded_documents(bench.log)
    stores = stored(bench.state_dir, documents)
    if not all(stores):
        # The stop came while partitions moved: one worker alone restores what was cut off.
        bench.cluster.start("lookup")
        bench.cluster.wait_ready("lookup")
        bench.cluster.stop("lookup")
        documents = folded_documents(bench.log)
        stores = stored(bench.state_dir, documents)
    checks.stored(bench.report, name, documents, stores)
    return documents


def check_commands(bench: Bench) -> None:
    """adapt and govern still do their work, and no shard missed a command or got one twice."""
    bench.step("commands", 0, 1)
    log, producer = bench.log, bench.log.producer()
    before = len(records(log, "control"))

    def reported() -> bool:
        now_ms = time.time_ns() // 1_000_000
        sample = LoadSample(
            model=traffic.MODELS[0], replica="fault run", latency_p95_ms=900.0, queue_depth=99.0, at_ms=now_ms
        )
        producer.send([Outgoing("load", sample.model.encode(), sample.encode())])
        return len(records(log, "control")) > before

    wait_until(reported, COMMANDS_S, "adapt tells of load")
    producer.close()
    bench.cluster.stop("adapt")
    refused = refused_commands(log)
    given = [record for record in records(log, "control") if record.offset not in refused]
    taken = [record.offset for record in given]
    kinds = Counter(decode_command(record.value or b"").kind for record in given)
    bench.report.figures["commands_by_kind"] = dict(sorted(kinds.items()))
    wait_until(lambda: all(taken[-1] in mine for mine in commands(log)), COMMANDS_S, "govern tells every shard")
    checks.governed(bench.report, commands(log), taken)
