"""Scenario of one run: traffic through workers that are killed and paused, then every promise checked.

`lookups` of 1 is the plain run. With more, the run begins with one lookup worker, others join, one dies for good
and another joins, while room is tight and a namespace grows past the switch to HNSW.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from refrain.ops.ask.client import AskReply, Client
from refrain.ops.control.client import ControlClient
from refrain.schemas.control import SetPolicy
from refrain.schemas.policy import Policy
from refrain.schemas.requests import Request
from refrain.schemas.responses import Response
from tests.simulation import checks, traffic
from tests.simulation.audited import check_audits
from tests.simulation.bench import SESSION_MS, Bench, Run, Step, opened, wait_until
from tests.simulation.cluster import READY_S
from tests.simulation.expiry import delete_stores, expire_tombstones, put_old_stores_back, set_stores_aside
from tests.simulation.faults import PROCESSORS, plan
from tests.simulation.operator import Operator
from tests.simulation.operator import plan as commands_of
from tests.simulation.promises import (
    ANSWER_S,
    IN_FLIGHT_MAX,
    ask_again,
    check,
    check_commands,
    compare_stores,
    to_ask_again,
)
from tests.simulation.records import withdrawing
from tests.simulation.recovery import Recovery
from tests.simulation.recovery import figures as recovery_figures

SLOW = 8
HNSW_FROM = 32
WITHDRAWN_S = 60.0
CAP = 60
"""Entries of a tenant and category when room is tight: more than the switch to HNSW in its larger namespace, and fewer
than are asked between two withdrawals of all of them in the shortest run, whatever the seed."""


def run_scenario(run: Run, kafka: str, folder: Path, step: Step) -> checks.Report:
    """Run the scenario against a broker, with logs and local stores under `folder`. Topics are removed at the end."""
    started = time.monotonic()
    with opened(run, kafka, folder, step) as bench:
        _phases(bench)
        report, cluster = bench.report, bench.cluster
        report.expect("workers end only in ways after which they are started again", cluster.bad_ends())
        report.figures["worker_ends"] = {str(code): n for code, n in sorted(cluster.codes().items())}
    report.figures["seconds"] = round(time.monotonic() - started, 1)
    return report


def _phases(bench: Bench) -> None:
    run, cluster, report = bench.run, bench.cluster, bench.report
    bench.step("workers", 0, 1)
    cluster.start(*PROCESSORS)
    cluster.wait_ready(*PROCESSORS)
    _put_policy_in_force(bench)
    with Client(bench.settings) as asker:
        operator = Operator(bench.log.producer())
        replies = _traffic(bench, asker, operator)
        replies += _across_a_stop(bench, asker, operator)
        wait_until(lambda: not withdrawing(bench.log), WITHDRAWN_S, "all that is withdrawn leaves")
        cluster.stop("lookup")
        documents = check(bench, replies)
        again = to_ask_again(bench, replies, documents)
        ask_again(bench, asker, "restarted", again)
        cluster.stop("lookup")
        delete_stores(bench)
        ask_again(bench, asker, "stores_deleted", again)
        expire_tombstones(bench)
        cluster.stop("lookup")
        put_old_stores_back(bench)
        ask_again(bench, asker, "tombstones_expired", again)
        cluster.stop("lookup")
    compare_stores(bench, "after_expiry")
    check_commands(bench)
    cluster.stop(*(name for name in PROCESSORS if name != "lookup"))
    if run.audit:
        check_audits(bench)
    report.figures["lookups"] = run.lookups


# -- the traffic --------------------------------------------------------------------------------------------


def _put_policy_in_force(bench: Bench) -> None:
    client = ControlClient(bench.settings)
    before = client.in_force()
    expected = None if before is None else before.version
    client.send(SetPolicy(who="fault run", policy=_policy(bench.run), expected_version=expected))
    client.wait(READY_S)


def _policy(run: Run) -> Policy:
    return traffic.policy(hnsw_from=HNSW_FROM, cap=CAP) if run.shared else traffic.policy()


def _traffic(bench: Bench, asker: Client, operator: Operator) -> list[AskReply]:
    run, report = bench.run, bench.report
    requests = traffic.requests(run.seed, run.requests, focused=run.shared)
    recovery = Recovery(bench.cluster, asker.in_flight)
    steps = commands_of(run.seed, run.requests, _policy(run))
    events = _events(bench, recovery) + [(step.after_answered, operator.act(step)) for step in steps]
    events.sort(key=lambda event: event[0])
    count = 0
    passed = threading.Condition()

    def on_response(number: int, response: Response, latency_ms: float) -> None:
        nonlocal count
        recovery.answered(number)
        operator.saw(response)
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
        "commands_given": operator.given,
        "faults": len(recovery.struck),
        "kills": sum(each.fault.kind == "kill" for each in recovery.struck),
        "pauses": sum(each.fault.kind == "pause" for each in recovery.struck),
        "faults_by_processor": dict(sorted(Counter(each.fault.processor for each in recovery.struck).items())),
        "traffic_seconds": round(time.monotonic() - started, 1),
        **recovery_figures(recovery.struck),
    }
    report.expect("every fault is recovered from", (e.fault for e in recovery.struck if e.recovery_ms is None))
    return replies


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
    return events


def _across_a_stop(bench: Bench, asker: Client, operator: Operator) -> list[AskReply]:
    """Lookup stops while answers are awaited, and commands are given while it is down.

    What its stores hold then is set aside, to come back as too old.
    """
    bench.step("a stop while answers are awaited", 0, 1)
    draw = random.Random(f"slow/{bench.run.seed}")
    slow = [
        _with_text(request, f"{traffic.question(request)} {draw.randrange(10**9)} [simulate:slow]")
        for request in traffic.requests(bench.run.seed + 1, SLOW)
    ]
    slow = [traffic.ask_again(request).model_copy(update={"tags": ()}) for request in slow]
    before = len(bench.server.calls)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(asker.ask, slow, timeout_s=ANSWER_S)
        wait_until(lambda: len(bench.server.calls) > before, 30.0, "the slow questions reach the model")
        bench.cluster.stop("lookup")
        set_stores_aside(bench)
        for step in commands_of(bench.run.seed + 1, 1, _policy(bench.run), rounds=1):
            operator.act(step)()
        bench.start_lookups()
        return asking.result()


def _with_text(request: Request, text: str) -> Request:
    messages = [*request.body["messages"][:-1], {"role": "user", "content": text}]
    return request.model_copy(update={"body": {**request.body, "messages": messages}})
