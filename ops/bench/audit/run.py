"""`refrain bench audit`: how fast an audit and a what-if are, beside a worker that folds the same journal live.

The journal is written, and one worker folds it, answers and commits as fast as it can. What it published is audited by
one process and by two, all of it and a sample, and folded under another policy: in one go on one broker, so that the
ratios say what is Refrain's and what the machine's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from typing import Any

from refrain.ops.bench.audit.commands import Spent, spent_by
from refrain.ops.bench.audit.traffic import CATEGORY, TrafficPlan, policy_of_traffic, traffic
from refrain.ops.bench.own_topics import own_topics
from refrain.ops.bench.path.usage import meter_of
from refrain.ops.bench.path.workers import refrain
from refrain.ops.cluster.last_commit import committed_offset
from refrain.ops.policies.file import write_policy
from refrain.streams.errors import ClusterFailed
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Cluster
from refrain.streams.settings import Settings

SENT_AT_ONCE = 1_000
LOOK_S = 0.1
LOOKUP = "lookup"
WORKERS = (LOOKUP, "govern")
"""One that folds; the other, which nobody asks for anything, is there because one alone runs without a supervisor, who
tells when workers are ready."""
QUIET_S = 120.0
"""How long a worker may come no further."""
SAMPLE = 100
SEED = 1
OTHER_THRESHOLD = 0.95
"""Of the policy that is tried: some of the questions that hit at 0.9 do not."""
PROCESSES = (1, 2)
Tell = Callable[[str], None]


def run(settings: Settings, plan: TrafficPlan, tell: Tell) -> dict[str, Any]:
    """Run the bench: rates in records a second, memory in megabytes.

    Raises Unreachable when no broker answers, WrongSetup when an audit finds anything.
    """
    with own_topics(settings, "bench-audit", plan.partitions) as mine:
        tell(f"folding a journal of {plan.records} records live")
        live = _live(mine, plan)
        audits = {}
        for processes in PROCESSES:
            tell("auditing it" + (" by two processes at once" if processes > 1 else ""))
            audits[processes] = spent_by(mine, ["audit", "--json", "--processes", str(processes)])
        tell("auditing a sample")
        sample = spent_by(mine, ["audit", "--json", "--processes", "1", "--sample", str(SAMPLE), "--seed", str(SEED)])
        tell("folding it under another policy")
        whatif = spent_by(mine, ["whatif", _other_policy(mine, plan), "--json"])
    return _figures(plan, live, audits, sample, whatif)


def _figures(plan: TrafficPlan, live: Spent, audits: dict[int, Spent], sample: Spent, whatif: Spent) -> dict[str, Any]:
    one, two = (audits[processes] for processes in PROCESSES)
    return {
        "records": plan.records,
        "decisions": 2 * plan.entries,
        "live": live.of(plan.records),
        "audit": {str(processes): spent.of(plan.records) for processes, spent in audits.items()},
        f"audit_sample_{SAMPLE}": sample.of(plan.records),
        "whatif": whatif.of(plan.records),
        "ratio_audit_live": round(live.seconds / one.seconds, 2),
        "ratio_two_processes": round(one.seconds / two.seconds, 2),
        "ratio_sample": round(one.seconds / sample.seconds, 2),
        "ratio_whatif_live": round(live.seconds / whatif.seconds, 2),
        **plan._asdict(),
    }


def _live(settings: Settings, plan: TrafficPlan) -> Spent:
    """What a worker takes to fold and commit the journal, from when it is written on."""
    with KafkaCluster(settings) as cluster, refrain(settings, WORKERS, {}):
        meter = meter_of(settings)
        meter.start()
        ends = _write(cluster, plan)
        folded, moved_s = 0, time.monotonic()
        while folded < plan.records:
            time.sleep(LOOK_S)
            now = _committed(cluster, ends)
            if now > folded:
                folded, moved_s = now, time.monotonic()
            if time.monotonic() - moved_s > QUIET_S:
                raise ClusterFailed(f"the worker came to {folded} of {plan.records} records, and no further")
        used = meter.stop()
        return Spent(used.elapsed_s, used.cpu_s[LOOKUP], meter.resident_mb()[LOOKUP])


def _write(cluster: Cluster, plan: TrafficPlan) -> dict[int, int]:
    """Write the journal; where its partitions end then."""
    producer = cluster.producer()
    records = traffic(plan, cluster.topic_id("journal"))
    while batch := list(islice(records, SENT_AT_ONCE)):
        producer.send(batch)
    producer.close()
    return {partition: end for partition, (_, end) in cluster.ends("journal").items()}


def _committed(cluster: Cluster, ends: dict[int, int]) -> int:
    """How many of the journal's records are committed."""
    return sum(min(end, committed_offset(cluster, partition)) for partition, end in ends.items())


def _other_policy(settings: Settings, plan: TrafficPlan) -> str:
    """The file of a policy with a higher threshold."""
    policy = policy_of_traffic(plan)
    stricter = policy.categories[CATEGORY].model_copy(update={"threshold": OTHER_THRESHOLD})
    path = settings.state_dir / "stricter.yaml"
    path.write_text(write_policy(policy.model_copy(update={"categories": {CATEGORY: stricter}})), encoding="utf-8")
    return str(path)
