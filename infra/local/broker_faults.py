"""`infra/faults --brokers 3`: faults of brokers, disk, clock and topics while questions are asked; a table at the end.

Standard output is one JSON line a fault. The exit code is 0 when every question had one answer or was told what the
fault allows, none was wrong, no worker ended that need not, and none used more than a twentieth of a core while nobody
answered.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from infra.local.broker import LOCAL, ended_by_signals
from infra.local.fault_kinds import FAULTS, NOTHING, Fault, Scene, clock_variables, small_disk
from infra.local.jar_broker import tail
from infra.local.jar_cluster import MIN_INSYNC, REPLICATION, JarCluster, cluster
from infra.local.service import REFRAIN, service
from refrain.ops.ask.client import Client
from refrain.ops.ask.questions import answer_of
from refrain.ops.cluster.connection import reach
from refrain.ops.config.settings import load_settings
from refrain.ops.observe.replicas import partitions_of, summarise
from refrain.ops.run.state_files import read_run
from refrain.schemas.requests import Request
from refrain.schemas.responses import Outcome, Response
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.settings import Settings

ARTICLES = 400
"""Different questions: some are asked again and are hits."""
TIMEOUT_S = 120.0
CORE_SHARE_MAX = 0.05
"""What a worker may use of a core while nobody answers."""
SETTLE_S = 3.0
"""After a fault began, until what workers use is measured: they notice, and tell."""
WATCH_S = 0.5
DOCTOR_S_MAX = 10.0
CLUSTER_CHECKS = ("broker", "controller", "replicas", "topics")
LISTEN_S = 2.0
"""How long is listened for repeated answers when all are there."""
BEFORE_S = 5.0
AFTER_S = 15.0
"""Traffic before a fault and after it."""
DECIDED_S = 30.0
"""How long decisions may take to be recorded."""
WHOLE_S_MAX = 90.0
"""How long the cluster may take to be whole again."""

notes = Console(stderr=True)


@dataclass
class Answers:
    """What came back while questions were asked: when, and what was wrong."""

    asked: int = 0
    failed: list[str] = field(default_factory=list)
    """What became of those without an answer: the code of the error they were told, or why nothing came."""
    wrong: int = 0
    slowest_s: float = 0.0
    at_s: list[float] = field(default_factory=list)
    repeats: int = 0
    repeats_different: int = 0

    def first_after(self, moment_s: float) -> float | None:
        """Seconds from a moment to the first answer after it."""
        return min((at - moment_s for at in self.at_s if at >= moment_s), default=None)

    def longest_silence_s(self) -> float:
        """The longest time between two answers."""
        moments = sorted(self.at_s)
        return max((after - before for before, after in pairwise(moments)), default=0.0)


@dataclass(frozen=True)
class FaultResult:
    """The result of one fault, a row of the table."""

    fault: str
    nobody_answers: bool
    """Whether too few brokers were left to take anything."""
    asked: int
    answered: int
    wrong: int
    repeats: int
    undecided: int
    """How far the number of decisions is from one a question."""
    first_answer_s: float | None
    """From the return of what was away to the first answer."""
    silent_s: float
    """The longest time without an answer."""
    slowest_s: float
    told: dict[str, int]
    """How many had no answer, by the code of the error they were told; `nothing`: they heard nothing."""
    allowed: tuple[str, ...]
    """Codes that the fault allows."""
    may_end: bool
    """Whether workers may end, and be started again."""
    ended: dict[str, int]
    """Workers that ended, and how often."""
    core_share: dict[str, float]
    """What each worker used of a core while the fault lasted."""
    doctor_s: float
    doctor: str

    def broken(self) -> list[str]:
        """What is not as promised."""
        found = []
        unanswered = sum(count for code, count in self.told.items() if code not in self.allowed)
        if unanswered or self.wrong:
            found.append(f"{unanswered} unanswered, {self.wrong} wrong: {self.told}")
        # What is lost with a topic is decided by nobody.
        lost = self.told.get(NOTHING, 0) if NOTHING in self.allowed else 0
        if not -lost <= self.undecided <= 0:
            found.append(f"decisions differ from questions by {self.undecided}")
        if self.ended and not self.may_end:
            found.append(f"ended: {self.ended}")
        if self.doctor_s > DOCTOR_S_MAX:
            found.append(f"doctor took {self.doctor_s:.1f} s")
        greedy = {name: share for name, share in self.core_share.items() if share > CORE_SHARE_MAX}
        if self.nobody_answers and greedy:
            found.append(f"busy while nobody answered: {greedy}")
        return [f"{self.fault}: {each}" for each in found]


class Workers:
    """Watches the workers of a service: which processes fill their places, and what they use."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._seen: dict[str, set[int]] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Workers:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def ended(self) -> dict[str, int]:
        """How often each worker ended so far; those that did not are left out."""
        return {name: len(pids) - 1 for name, pids in self._seen.items() if len(pids) > 1}

    def core_s(self) -> dict[str, float]:
        """Processor seconds of each worker's process so far."""
        found = {}
        for row in (read_run(self._state) or {"workers": []})["workers"]:
            try:
                times = psutil.Process(row["pid"]).cpu_times()
            except psutil.NoSuchProcess:
                continue
            found[str(row["name"])] = float(times.user + times.system)
        return found

    def _watch(self) -> None:
        while not self._done.wait(WATCH_S):
            self._look()

    def _look(self) -> None:
        for row in (read_run(self._state) or {"workers": []})["workers"]:
            self._seen.setdefault(str(row["name"]), set()).add(int(row["pid"]))


class Load:
    """Asks questions at a rate for a time, on a thread of its own, whatever becomes of the answers."""

    def __init__(self, settings: Settings, rate: float, seconds: float, seed: int) -> None:
        self._settings = settings
        self._rate = rate
        draw = random.Random(f"broker faults/{seed}")
        self._articles = [draw.randrange(ARTICLES) for _ in range(int(rate * seconds))]
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.answers = Answers(asked=len(self._articles))

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _ask(self) -> None:
        found = self.answers

        def answered(number: int, response: Response, latency_ms: float) -> None:
            found.at_s.append(time.monotonic())

        # Brokers may be away for longer than a client waits as a rule for them to take a request.
        with Client(self._settings, delivery_timeout_ms=int(TIMEOUT_S * 1_000)) as client:
            replies = client.ask(
                [question(article) for article in self._articles],
                timeout_s=TIMEOUT_S,
                rate=self._rate,
                in_flight_max=len(self._articles),
                on_response=answered,
            )
            client.listen(LISTEN_S)
            found.repeats, found.repeats_different = client.repeats, client.repeats_different
        for article, reply in zip(self._articles, replies, strict=True):
            if reply.response is None or reply.response.outcome is Outcome.ERROR:
                error = None if reply.response is None else reply.response.error
                found.failed.append(NOTHING if error is None else error.code)
            elif f"article {article}?" not in answer_of(reply.response.body):
                found.wrong += 1
            found.slowest_s = max(found.slowest_s, (reply.latency_ms or 0.0) / 1_000)


def question(article: int) -> Request:
    """The question after one article: its number is in the answer of the simulated model."""
    text = f"What does the handbook say in article {article}?"
    return Request(body={"model": "default", "messages": [{"role": "user", "content": text}]})


def decisions(settings: Settings, wanted: int) -> int:
    """The number of decisions, once there are as many as wanted or after `DECIDED_S`; one told twice counts twice."""
    deadline = time.monotonic() + DECIDED_S
    with KafkaCluster(settings) as cluster:
        while True:
            places = range(cluster.partitions("decisions"))
            found = sum(1 for place in places for _ in cluster.scan("decisions", place))
            if found >= wanted or time.monotonic() > deadline:
                return found
            time.sleep(0.5)


def carry_out(fault: Fault, scene: Scene, rate: float, seed: int) -> FaultResult:
    """Carry out one fault under load."""
    environment, settings = scene.environment, scene.settings
    known = decisions(settings, 0)
    seconds = BEFORE_S + fault.seconds + AFTER_S
    with Workers(settings.state_dir) as workers, Load(settings, rate, seconds, seed) as load:
        time.sleep(BEFORE_S)
        fault.begin(scene, random.Random(f"{seed}/{fault.name}"))
        began_s = time.monotonic()
        time.sleep(SETTLE_S)
        doctor, doctor_s = _doctor(environment)
        before, at_s = workers.core_s(), time.monotonic()
        time.sleep(max(1.0, began_s + fault.seconds - time.monotonic()))
        after, for_s = workers.core_s(), time.monotonic() - at_s
        fault.end(scene)
        back_s = time.monotonic()
    found = load.answers
    decided = decisions(settings, known + found.asked)
    return FaultResult(
        fault=fault.name,
        nobody_answers=fault.nobody_answers,
        asked=found.asked,
        answered=found.asked - len(found.failed),
        wrong=found.wrong + found.repeats_different,
        repeats=found.repeats,
        undecided=decided - known - found.asked,
        first_answer_s=_rounded(found.first_after(back_s)),
        silent_s=round(found.longest_silence_s(), 1),
        slowest_s=round(found.slowest_s, 1),
        told=dict(Counter(found.failed)),
        allowed=fault.allowed,
        may_end=fault.may_end,
        ended=workers.ended(),
        core_share={name: round((after[name] - spent) / for_s, 3) for name, spent in before.items() if name in after},
        doctor_s=round(doctor_s, 1),
        doctor=doctor,
    )


def _doctor(environment: Mapping[str, str]) -> tuple[str, float]:
    """What `refrain doctor` says of the cluster, and how long it took (seconds)."""
    started_s = time.monotonic()
    done = subprocess.run(
        [REFRAIN, "doctor", "--json"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    took_s = time.monotonic() - started_s
    findings = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    told = {each["check"]: each["state"] for each in findings if each["check"] in CLUSTER_CHECKS}
    return ", ".join(f"{check} {state}" for check, state in told.items()) or tail(done.stderr, 2), took_s


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def await_whole(settings: Settings) -> None:
    """Wait until every partition has all its replicas in sync. Raises TimeoutError."""
    admin = reach(settings)
    deadline = time.monotonic() + WHOLE_S_MAX
    while True:
        found = admin.list_topics(timeout=10.0)
        state = summarise(partitions_of(found, settings), found.brokers, settings.min_insync)
        if not state.is_short:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"the cluster is not whole after {WHOLE_S_MAX:.0f} s: {state}")
        time.sleep(0.5)


def table_of(results: list[FaultResult]) -> Table:
    """The table of a run, a fault a row."""
    table = Table(title="Faults under load")
    for heading in (
        "fault", "answered", "told", "wrong", "repeats", "undecided", "silent s",
        "first answer after return s", "slowest s", "workers ended", "core share of a worker", "doctor s", "doctor",
    ):  # fmt: skip
        table.add_column(heading)
    for each in results:
        ended = ", ".join(f"{name} {count}" for name, count in each.ended.items()) or "none"
        busiest = max(each.core_share.items(), key=lambda item: item[1], default=("", 0.0))
        table.add_row(
            each.fault, f"{each.answered} of {each.asked}",
            ", ".join(f"{code} {count}" for code, count in each.told.items()) or "none",
            str(each.wrong), str(each.repeats), str(each.undecided), f"{each.silent_s:g}",
            "none" if each.first_answer_s is None else f"{each.first_answer_s:g}", f"{each.slowest_s:g}", ended,
            f"{busiest[1]:.1%} ({busiest[0]})", f"{each.doctor_s:g}", each.doctor,
        )  # fmt: skip
    return table


@contextmanager
def _served(running: JarCluster, folder: Path) -> Iterator[Scene]:
    """The service on the cluster, with the embedder that needs no model."""
    environment: Mapping[str, str] = {
        **os.environ,
        "REFRAIN_KAFKA": running.servers,
        "REFRAIN_STATE_DIR": str(folder / "state"),
        "REFRAIN_REPLICATION": str(REPLICATION),
        "REFRAIN_MIN_INSYNC": str(MIN_INSYNC),
        "REFRAIN_UPSTREAM__CONNECTOR": "simulated",
        "REFRAIN_EMBEDDING__BACKEND": "free",
    }
    environment = {**environment, **clock_variables(folder)}
    with small_disk(folder / "state"), service(environment, folder / "state", folder / "service.log", _say):
        yield Scene(running, environment, load_settings(environment), folder)


def _say(line: str) -> None:
    notes.print(line, markup=False, highlight=False, soft_wrap=True)


def run(brokers: int, rate: float, seed: int, wanted: list[str], keep: bool) -> int:
    """Run the faults; the exit code."""
    home = LOCAL / "kafka"
    home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="broker-faults-", dir=LOCAL))
    results: list[FaultResult] = []
    with ended_by_signals():
        try:
            with cluster(home, brokers, False, _say) as running, _served(running, folder) as scene:
                for fault in FAULTS:
                    if wanted and not any(fault.name.startswith(name) for name in wanted):
                        continue
                    missing = fault.missing(scene)
                    if missing is not None:
                        _say(f"not run: {fault.name}: {missing}")
                        continue
                    await_whole(scene.settings)
                    _say(f"fault: {fault.name}")
                    results.append(carry_out(fault, scene, rate, seed))
                    print(json.dumps(asdict(results[-1])), flush=True)
        finally:
            if results:
                Console(stderr=True, width=200).print(table_of(results))
            broken = [each for result in results for each in result.broken()]
            if keep or broken or not results:
                _say(f"logs and local stores: {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
    for line in broken:
        _say(f"broken: {line}")
    return 1 if broken else 0


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser("infra/faults --brokers", description=__doc__)
    made.add_argument("--brokers", type=int, default=REPLICATION, help="how many brokers run")
    made.add_argument("--rate", type=float, default=20.0, help="questions a second")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--fault", action="append", default=[], help="the beginning of a fault's name; all without it")
    made.add_argument("--keep", action="store_true", help="keep logs and local stores, and say where")
    return made


def main(arguments: list[str]) -> int:
    """The command; its exit code."""
    chosen = parser().parse_args(arguments)
    return run(chosen.brokers, chosen.rate, chosen.seed, chosen.fault, chosen.keep)
