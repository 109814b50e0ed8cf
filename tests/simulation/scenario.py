"""One run: traffic through workers that are killed and paused, then every promise checked.

`lookups` of 1 is the plain run. With more, the run begins with one lookup worker, others join, one dies for good
and another joins, while room is tight and a namespace grows past the switch to HNSW.
"""

from __future__ import annotations

import json
import logging
import random
import shutil
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from ops.client import Client, Reply
from ops.cluster import client, reach
from ops.policy_order import Order
from ops.topic_admin import create
from schemas.control import ReportLoad
from schemas.decisions import Decision
from schemas.documents import Entry
from schemas.load import LoadSample
from schemas.requests import Request
from streams.kafka_log import KafkaLog
from streams.log import Outgoing
from streams.settings import Adapt, Embedding, Settings, Upstream
from streams.upstream.simulated_server import SimulatedServer
from tests.simulation import checks, traffic
from tests.simulation.cluster import Cluster
from tests.simulation.faults import PROCESSORS, plan
from tests.simulation.records import (
    Folded,
    State,
    commands,
    folded_documents,
    recorded,
    records,
    stored,
    tombstones,
)
from tests.simulation.recovery import Recovery
from tests.simulation.recovery import figures as recovery_figures
from tests.simulation.replay import replay

# A worker that is killed in the middle of a call is no news.
logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)

SESSION_MS = 2_000
ANSWER_S = 150.0
IN_FLIGHT_MAX = 150
SAMPLE = 400
SLOW = 8
COMPACTED_S = 150.0
COMMANDS_S = 30.0
TOMBSTONES_MS = 5_000
"""How long deletions are kept in the end: more than a restore takes, less than a person waits."""
HNSW_FROM = 64
CAP = 120
"""Entries of a tenant and category when room is tight: more than the switch to HNSW, fewer than are asked."""

Step = Callable[[str, int, int], None]
"""Told what is done now, how far it is, and out of how much."""


@dataclass(frozen=True)
class Run:
    """What is run. The same values give the same traffic and the same plan of faults."""

    requests: int
    faults: int
    seed: int
    lookups: int = 1

    @property
    def shared(self) -> bool:
        """Whether several lookup workers share the partitions."""
        return self.lookups > 1


@dataclass
class Bench:
    """What the parts of a run share."""

    run: Run
    settings: Settings
    state_dir: Path
    cluster: Cluster
    server: SimulatedServer
    log: KafkaLog
    report: checks.Report
    step: Step


def carry_out(run: Run, kafka: str, folder: Path, step: Step) -> checks.Report:
    """Run it against a broker, with logs and local stores under `folder`. Topics are removed at the end."""
    prefix = f"faults-{uuid.uuid4().hex[:8]}."
    settings = Settings(
        kafka=kafka,
        prefix=prefix,
        state_dir=folder / "state",
        session_timeout_ms=SESSION_MS,
        transaction_timeout_ms=5_000,
        embedding=Embedding(backend="free"),
        upstream=Upstream(latency_median_ms=25.0, latency_sigma=0.6, seed=run.seed),
        adapt=Adapt(window_ms=2_000, interval_ms=500),
    )
    admin = reach(settings)
    report = checks.Report()
    started = time.monotonic()
    step("topics", 0, 1)
    create(admin, settings)
    try:
        with SimulatedServer(settings.upstream) as server:
            environment = environment_of(settings, server.base_url)
            with Cluster(environment, settings.state_dir, folder / "logs") as cluster:
                log = KafkaLog(settings)
                _phases(Bench(run, settings, settings.state_dir, cluster, server, log, report, step), admin)
                report.expect("workers end only in ways after which they are started again", cluster.bad_ends())
                report.figures["worker_ends"] = {str(code): n for code, n in sorted(cluster.codes().items())}
    finally:
        remove(admin, prefix)
    report.figures["seconds"] = round(time.monotonic() - started, 1)
    return report


def environment_of(settings: Settings, base_url: str) -> dict[str, str]:
    """The settings as `refrain run` reads them."""
    return {
        "REFRAIN_KAFKA": settings.kafka,
        "REFRAIN_PREFIX": settings.prefix,
        "REFRAIN_STATE_DIR": str(settings.state_dir),
        "REFRAIN_SESSION_TIMEOUT_MS": str(settings.session_timeout_ms),
        "REFRAIN_TRANSACTION_TIMEOUT_MS": str(settings.transaction_timeout_ms),
        "REFRAIN_EMBEDDING__BACKEND": "free",
        "REFRAIN_UPSTREAM__CONNECTOR": "http",
        "REFRAIN_UPSTREAM__BASE_URL": base_url,
        # One call a forward, also when the model fails: calls are counted.
        "REFRAIN_UPSTREAM__RETRIES": "0",
        "REFRAIN_ADAPT__WINDOW_MS": str(settings.adapt.window_ms),
        "REFRAIN_ADAPT__INTERVAL_MS": str(settings.adapt.interval_ms),
    }


def _phases(bench: Bench, admin: AdminClient) -> None:
    run, cluster, report = bench.run, bench.cluster, bench.report
    bench.step("workers", 0, 1)
    cluster.start(*PROCESSORS)
    cluster.wait_ready(*PROCESSORS)
    _put_policy_in_force(bench)
    with Client(bench.settings) as asker:
        replies = _traffic(bench, asker)
        replies += _across_a_stop(bench, asker)
        cluster.stop("lookup")
        documents = _check(bench, replies)
        again = _to_ask_again(bench, replies, documents)
        _ask_again(bench, asker, "restarted", again)
        cluster.stop("lookup")
        _delete_stores(bench)
        _ask_again(bench, asker, "stores_deleted", again)
        _expire_tombstones(bench, admin)
        cluster.stop("lookup")
        _put_old_stores_back(bench)
        _ask_again(bench, asker, "tombstones_expired", again)
        cluster.stop("lookup")
    _compare_stores(bench, "after_expiry")
    _check_commands(bench)
    cluster.stop(*(name for name in PROCESSORS if name != "lookup"))
    report.figures["lookups"] = run.lookups


# -- the traffic --------------------------------------------------------------------------------------------


def _put_policy_in_force(bench: Bench) -> None:
    tight = bench.run.shared
    policy = traffic.policy(hnsw_from=HNSW_FROM, cap=CAP) if tight else traffic.policy()
    order = Order(bench.settings)
    order.place(policy, order.in_force(), "fault run", "")
    order.wait(30.0)


def _traffic(bench: Bench, asker: Client) -> list[Reply]:
    run, report = bench.run, bench.report
    requests = traffic.requests(run.seed, run.requests, focused=run.shared)
    recovery = Recovery(bench.cluster, lambda: _in_flight(asker))
    events = _events(bench, recovery)
    count = 0
    passed = threading.Condition()

    def on_response(number: int, response: object, latency_ms: float) -> None:
        nonlocal count
        recovery.answered(number)
        with passed:
            count += 1
            passed.notify()
        bench.step("traffic", count, run.requests)

    def inject() -> None:
        for after, act in events:
            with passed:
                while count < after:
                    passed.wait()
            act()

    injector = threading.Thread(target=inject, name="injector", daemon=True)
    injector.start()
    started = time.monotonic()
    replies = asker.ask(requests, timeout_s=ANSWER_S, on_response=on_response, in_flight_max=IN_FLIGHT_MAX)
    injector.join(5.0)
    report.expect("every fault of the plan was carried out", ["the traffic ended early"] if injector.is_alive() else [])
    recovery.finish()
    report.figures |= {
        "faults": len(recovery.struck),
        "kills": sum(each.fault.kind == "kill" for each in recovery.struck),
        "pauses": sum(each.fault.kind == "pause" for each in recovery.struck),
        "faults_by_processor": dict(sorted(Counter(each.fault.processor for each in recovery.struck).items())),
        "traffic_seconds": round(time.monotonic() - started, 1),
        **recovery_figures(recovery.struck),
    }
    report.expect("every fault is recovered from", (e.fault for e in recovery.struck if e.recovery_ms is None))
    return replies


def _in_flight(asker: Client) -> list[int]:
    return [each.number for each in list(asker._open.values())]


def _events(bench: Bench, recovery: Recovery) -> list[tuple[int, Callable[[], None]]]:
    """What happens after how many answers: the planned faults, and lookup workers that come and go."""
    run, cluster = bench.run, bench.cluster
    events: list[tuple[int, Callable[[], None]]] = [
        (fault.after_answered, partial(recovery.strike, fault))
        for fault in plan(run.seed, run.faults, run.requests, SESSION_MS)
    ]

    def joins() -> None:
        cluster.start("lookup")

    def dies() -> None:
        cluster.kill(next(place for place in cluster.running() if place.name == "lookup"), for_good=True)

    for at in range(1, run.lookups):
        events.append((run.requests * at // (2 * run.lookups), joins))
    if run.shared:
        events += [(run.requests * 11 // 20, dies), (run.requests * 15 // 20, joins)]
    return sorted(events, key=lambda event: event[0])


def _across_a_stop(bench: Bench, asker: Client) -> list[Reply]:
    """Lookup stops while answers are awaited; what its stores hold then is set aside, to come back as too old."""
    bench.step("a stop while answers are awaited", 0, 1)
    draw = random.Random(f"slow/{bench.run.seed}")
    slow = [
        _with_text(request, f"{traffic.question(request)} {draw.randrange(10**9)} [simulate:slow]")
        for request in traffic.requests(bench.run.seed + 1, SLOW)
    ]
    slow = [traffic.ask_again(request).model_copy(update={"tags": ()}) for request in slow]
    before = len(bench.server.seen)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(asker.ask, slow, timeout_s=ANSWER_S)
        _wait_until(lambda: len(bench.server.seen) > before, 30.0, "the slow questions reach the model")
        bench.cluster.stop("lookup")
        aside = bench.state_dir.with_name("aside")
        shutil.copytree(bench.state_dir, aside, ignore=lambda _, names: [n for n in names if n == "LOCK"])
        _start_lookups(bench)
        return asking.result()


# -- the promises -------------------------------------------------------------------------------------------


def _check(bench: Bench, replies: Sequence[Reply]) -> list[Folded]:
    report = bench.report
    bench.step("read the topics", 0, 1)
    found = recorded(bench.log)
    checks.answered(report, replies, found)
    checks.decided(report, found)
    checks.called(report, _calls(bench.server), found.forwards)
    report.figures["dead_letters"] = dict(found.dead)
    report.expect("nothing becomes a dead letter", found.dead)
    documents = _compare_stores(bench, "stopped")
    bench.step("fold the journal again", 0, 1)
    until = {at: _next_offset(each.state) for at, each in enumerate(documents)}
    live = {id_: Decision.decode(each[0]) for id_, each in found.decisions.items()}
    checks.folded_again(report, found, replay(bench.log, live, until), documents)
    if bench.run.shared:
        report.expect("a namespace is past the switch to HNSW", [] if report.figures["ann_hits"] else ["none is"])
        report.expect("entries are evicted", [] if report.figures["evictions"] else ["none is"])
    return documents


def _calls(server: SimulatedServer) -> Counter[str]:
    return Counter(seen.headers.get("idempotency-key", "") for seen in server.seen)


def _next_offset(state: State) -> int:
    found = state.get(b"meta/meta")
    return -1 if found is None else int(json.loads(found)["next_offset"])


Kept = list[tuple[Request, dict[str, Any]]]
Identity = tuple[str, str, str, bool, str]
"""Tenant, category, model, whether there is a system prompt, and the text."""


def _to_ask_again(bench: Bench, replies: Sequence[Reply], documents: Sequence[Folded]) -> Kept:
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


def _ask_again(bench: Bench, asker: Client, name: str, again: Kept) -> None:
    bench.step(f"ask again: {name}", 0, 1)
    _start_lookups(bench)
    replies = asker.ask([request for request, _ in again], timeout_s=ANSWER_S, in_flight_max=IN_FLIGHT_MAX)
    checks.remembered(bench.report, name, replies, [message for _, message in again])


def _start_lookups(bench: Bench) -> None:
    bench.cluster.start(*["lookup"] * bench.run.lookups)
    bench.cluster.wait_ready("lookup")


def _compare_stores(bench: Bench, name: str) -> list[Folded]:
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


def _check_commands(bench: Bench) -> None:
    """adapt and govern still do their work, and no shard missed a command or got one twice."""
    bench.step("commands", 0, 1)
    log, writer = bench.log, bench.log.writer()
    before = len(records(log, "control"))

    def reported() -> bool:
        now_ms = time.time_ns() // 1_000_000
        sample = LoadSample(
            model=traffic.MODELS[0], replica="fault run", latency_p95_ms=900.0, queue_depth=99.0, at_ms=now_ms
        )
        writer.send([Outgoing("load", sample.model.encode(), sample.encode())])
        return len(records(log, "control")) > before

    _wait_until(reported, COMMANDS_S, "adapt tells of load")
    bench.cluster.stop("adapt")
    taken = [record.offset for record in records(log, "control")]
    _wait_until(lambda: all(taken[-1] in mine for mine in commands(log)), COMMANDS_S, "govern tells every shard")
    checks.governed(bench.report, commands(log), taken)


# -- stores and tombstones ----------------------------------------------------------------------------------


def _delete_stores(bench: Bench) -> None:
    for path in bench.state_dir.glob("lookup-*"):
        shutil.rmtree(path)


def _put_old_stores_back(bench: Bench) -> None:
    _delete_stores(bench)
    aside = bench.state_dir.with_name("aside")
    for path in aside.glob("lookup-*"):
        shutil.copytree(path, bench.state_dir / path.name)


def _expire_tombstones(bench: Bench, admin: AdminClient) -> None:
    """Shorten the life of deletions in `documents`, and wait until the cleaner has removed those that are there."""
    wanted = {
        "delete.retention.ms": str(TOMBSTONES_MS), "min.cleanable.dirty.ratio": "0.001", "segment.ms": "500",
        "max.compaction.lag.ms": "500", "min.compaction.lag.ms": "0",
    }  # fmt: skip
    resource = ConfigResource(
        ResourceType.TOPIC,
        bench.settings.prefix + "documents",
        incremental_configs=[
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in wanted.items()
        ],
    )
    for future in admin.incremental_alter_configs([resource]).values():
        future.result()
    left = old = tombstones(bench.log)
    deadline = time.monotonic() + COMPACTED_S
    with _pokes(bench.settings) as poke:
        while left and time.monotonic() < deadline:
            bench.step("deletions leave documents", len(old) - len(left), len(old))
            # Every shard folds and commits something: only what is behind the last segment is cleaned.
            poke()
            time.sleep(0.5)
            left = old & tombstones(bench.log, sorted({partition for partition, _ in left}))
    bench.report.figures["tombstones_expired"] = len(old) - len(left)
    bench.report.expect(f"deletions leave `documents` within {COMPACTED_S:.0f} s", left)


@contextmanager
def _pokes(settings: Settings) -> Iterator[Callable[[], None]]:
    """Sends a command that every shard folds and that changes nothing for questions."""
    producer = Producer(client(settings))

    def send() -> None:
        report = ReportLoad(who="fault run", model=traffic.MODELS[1], load=0.0, valid_until_ms=0)
        producer.produce(settings.prefix + "control", report.encode())
        producer.flush(5.0)

    yield send
    producer.flush(5.0)


# -- small things -------------------------------------------------------------------------------------------


def _with_text(request: Request, text: str) -> Request:
    messages = [*request.body["messages"][:-1], {"role": "user", "content": text}]
    return request.model_copy(update={"body": {**request.body, "messages": messages}})


def _wait_until(is_so: Callable[[], bool], wait_s: float, what: str) -> None:
    deadline = time.monotonic() + wait_s
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {wait_s:.0f} s")
        time.sleep(0.02)


def remove(admin: AdminClient, prefix: str) -> None:
    """Delete the topics of a run."""
    names = [name for name in admin.list_topics(timeout=15.0).topics if name.startswith(prefix)]
    for future in admin.delete_topics(names, operation_timeout=15.0).values() if names else ():
        future.result()
