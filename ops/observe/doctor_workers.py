"""The doctor's look at the workers of this machine: those of its broker and prefix, as `state_dir` tells of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil

from refrain.ops.observe.doctor_checks import PROBE_S, together
from refrain.ops.observe.findings import Finding
from refrain.ops.run.probe import NoAnswer, page
from refrain.ops.run.state_files import read_run, read_workers
from refrain.ops.terminal import output
from refrain.streams import time_of_day
from refrain.streams.errors import RefrainError

if TYPE_CHECKING:
    from refrain.ops.observe.deadline import Deadline
    from refrain.streams.settings import Settings

CHECK = "workers"
ENDS_WITHIN_MS = 600_000
LOOP_FROM = 3
"""So many ends within `ENDS_WITHIN_MS` are a crash loop."""
CLUSTER_S = 1.0
Row = Mapping[str, Any]
"""A worker, or a place that is down, in run.json or in `health/`."""


def workers(settings: Settings, deadline: Deadline) -> list[Finding]:
    """Do the workers of this machine that serve these topics live, stay alive, and say that they are ready?"""
    ours = _Ours(settings)
    run = read_run(settings.state_dir)
    supervised: list[Row] = [] if run is None else run["workers"]
    known = {row["pid"] for row in supervised}
    single = [
        told for told in read_workers(settings.state_dir) if told["pid"] not in known and psutil.pid_exists(told["pid"])
    ]
    mine = [told for told in single if ours.has(told)]
    others = [told for told in single if not ours.has(told)]
    if run is not None and not ours.has(run):
        others, supervised, run = [run, *others], [], None
    rows = [_elsewhere(settings, told) for told in others[:1]]
    if run is not None:
        rows += _supervised(run)
        supervised = supervised if psutil.pid_exists(int(run["pid"])) else []
    rows += _probed([*supervised, *mine], settings.http.host, deadline)
    return rows if any(row.state != "warn" for row in rows) else [*rows, _none(settings)]


def of_processor(settings: Settings, name: str) -> list[Row]:
    """The workers of one processor on this machine that live and serve these topics: each with its health port."""
    ours = _Ours(settings)
    told = [
        each for each in read_workers(settings.state_dir) if each.get("name") == name and psutil.pid_exists(each["pid"])
    ]
    return [each for each in told if ours.has(each)]


def is_supervised(settings: Settings) -> bool:
    """Whether a supervisor runs on this machine that serves these topics."""
    run = read_run(settings.state_dir)
    return run is not None and psutil.pid_exists(int(run["pid"])) and _Ours(settings).has(run)


def ends(row: Row, now_ms: int) -> Finding | None:
    """What the ends of a worker's earlier processes say; None where there were none lately. Pure."""
    lately = sum(at_ms >= now_ms - ENDS_WITHIN_MS for at_ms in row.get("ended_at_ms", ()))
    if not lately:
        return None
    within = output.span(ENDS_WITHIN_MS)
    seen = f"{row['name']} ended {output.counted(lately, 'time')} within {within}, the last with {row['ended']}"
    if lately >= LOOP_FROM:
        return Finding(CHECK, "fail", f"{seen}: it crash-loops", "look at its log: the last line says why it ends")
    return Finding(CHECK, "warn", seen, "look at its log")


def down(row: Row) -> Finding:
    """What a place without a process says. Pure."""
    if row.get("starts_again"):
        seen = f"{row['name']} ended with {row['ended']} and waits to be started again"
        return Finding(CHECK, "fail", seen, "look at its log: the last line says why it ends")
    seen = f"{row['name']} ended with {row['ended']} and is not started again"
    return Finding(CHECK, "fail", seen, "start `refrain run` again")


def _supervised(run: Row) -> list[Finding]:
    if not psutil.pid_exists(int(run["pid"])):
        return [Finding(CHECK, "fail", f"the supervisor, process {run['pid']}, is gone", "start `refrain run all`")]
    now_ms = time_of_day.now_ms()
    places: Sequence[Row] = [*run["workers"], *run.get("down", ())]
    looping = [found for row in places if (found := ends(row, now_ms)) is not None]
    return [*(down(row) for row in run.get("down", ())), *looping]


def _probed(rows: Sequence[Row], host: str, deadline: Deadline) -> list[Finding]:
    looks: dict[str, Callable[[], list[Finding]]] = {
        str(at): partial(_worker, row, row.get("host", host), psutil.pid_exists(int(row["pid"])))
        for at, row in enumerate(rows)
    }
    return together(looks, deadline.within(PROBE_S + 1.0), lambda at: _silent(rows[int(at)]))


def _silent(row: Row) -> Finding:
    return Finding(CHECK, "fail", f"{row['name']}, process {row['pid']}, does not answer", "look at its log")


def _worker(row: Row, host: str, lives: bool) -> list[Finding]:
    name = f"{row['name']}, process {row['pid']}"
    if not lives:
        return [Finding(CHECK, "fail", f"{name} is gone", "the supervisor starts it again; look at its log")]
    if row["port"] is None:
        return [Finding(CHECK, "fail", f"{name} starts: no health port yet", "wait; then look at its log")]
    answer = _probe(host, int(row["port"]))
    if answer == "ready":
        return [Finding(CHECK, "ok", f"{name} is ready")]
    return [Finding(CHECK, "fail", f"{name}: {answer}", "look at its log; it may still start or restore")]


def _probe(host: str, port: int) -> str:
    try:
        return page(host, port, "/readyz", PROBE_S).text.strip()
    except NoAnswer as error:
        return f"http://{host}:{port}/readyz does not answer ({error})"


def _none(settings: Settings) -> Finding:
    seen = f"no worker of this broker and prefix is known in {settings.state_dir}"
    return Finding(CHECK, "warn", seen, "`refrain run all` starts them here; those of other machines are not seen")


def _elsewhere(settings: Settings, told: Row) -> Finding:
    seen = f"{settings.state_dir} is used by workers of {told['kafka']}, prefix {told['prefix']!r}, not of these topics"
    do = "give each service a state_dir of its own, or set REFRAIN_KAFKA and REFRAIN_PREFIX to look at that one"
    return Finding(CHECK, "warn", seen, do)


class _Ours:
    """Tells workers of the broker and prefix of the settings from others. One that names none counts as ours."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clusters: dict[str, str | None] = {}

    def has(self, told: Row) -> bool:
        kafka = told.get("kafka", self._settings.kafka)
        if told.get("prefix", self._settings.prefix) != self._settings.prefix:
            return False
        if _servers(kafka) & _servers(self._settings.kafka):
            return True
        here, there = self._cluster(self._settings.kafka), self._cluster(kafka)
        return here is not None and here == there

    def _cluster(self, kafka: str) -> str | None:
        """The id of the cluster behind these servers; None where it does not answer."""
        if kafka not in self._clusters:
            self._clusters[kafka] = _cluster_id(self._settings.model_copy(update={"kafka": kafka}))
        return self._clusters[kafka]


def _cluster_id(settings: Settings) -> str | None:
    from confluent_kafka import KafkaException

    from refrain.ops.cluster.connection import reach

    try:
        found = reach(settings, CLUSTER_S).list_topics(timeout=CLUSTER_S).cluster_id
    except (RefrainError, KafkaException):
        return None
    return None if found is None else str(found)


def _servers(kafka: str) -> set[str]:
    return {each.strip().lower().replace("localhost", "127.0.0.1") for each in kafka.split(",")}
