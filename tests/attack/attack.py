"""An attack: what it sends, by which right, and what must hold. One runner carries out all of them alike.

After each, whatever it was: what was sent is read to its end; each record is set aside or answered, once; every good
question is answered rightly; no worker was started again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from tests.attack.calm import CalmFigures, CalmStream
from tests.attack.places import Place, Stretches
from tests.attack.target import Target
from tests.attack.workers import Workers

SHOWN = 3
"""Places named of those that are wrong."""


@dataclass
class Sent:
    """What an attack sent, and what it found wrong itself."""

    places: list[Place] = field(default_factory=list)
    stretches: Stretches = field(default_factory=Stretches)
    """In place of `places`, where there are so many."""
    asides: bool = False
    """Whether nothing of it can be taken, so that each record must be set aside."""
    asked: int = 0
    """Requests asked by a client beside them."""
    problems: list[str] = field(default_factory=list)
    skipped: str | None = None
    """Why nothing could be tried, or not all."""
    memory: Sequence[Mapping[str, int]] = ()
    """Resident memory of each worker in MB, as it was looked at on the way."""

    @property
    def each(self) -> list[Place] | Stretches:
        """Where each record stands that was sent."""
        return self.places or self.stretches


@dataclass(frozen=True)
class Attack:
    """An attack. `run` is given the target and its size: 1.0 for the whole of it."""

    name: str
    topics: str
    """What it writes to."""
    right: str
    """The role whose rights it needs."""
    run: Callable[[Target, float], Sent]


class Row(NamedTuple):
    """What came of an attack: a line of the table."""

    attack: str
    topics: str
    right: str
    sent: int
    aside: int
    """Of the records sent, those set aside."""
    calm: CalmFigures
    restarts: int | None
    p99_ratio: float
    """The calm stream's p99 over that of a quiet run."""
    memory_mb: int | None
    seconds: float
    problems: tuple[str, ...]
    skipped: str | None
    by_topic: Mapping[str, Mapping[str, int]]
    """Of each topic that was written to: records sent, requests answered, records set aside."""
    memory: Sequence[Mapping[str, int]]

    @property
    def held(self) -> bool:
        """Whether all that must hold did."""
        return not self.problems


def carry_out(
    attack: Attack, target: Target, calm: CalmStream, workers: Workers, size: float, quiet_p99_ms: float
) -> Row:
    """Carry out an attack, and wait until what it sent is worked."""
    began, start, restarts = time.monotonic(), calm.mark(), workers.restarts
    sent = attack.run(target, size)
    problems = [*sent.problems, *accounts(target, sent)]
    figures = calm.figures(start, target.wait_s)
    workers.look()
    restarted = workers.restarts - restarts if workers.known else None
    if restarted:
        problems.append(f"{restarted} workers were started again")
    if figures.answered < figures.asked:
        problems.append(f"{figures.asked - figures.answered} good questions were not answered")
    if figures.wrong:
        problems.append(f"{figures.wrong} good questions were answered with an error or another answer")
    return Row(
        attack.name,
        attack.topics,
        attack.right,
        len(sent.each) + sent.asked,
        sum(target.ledger.aside[place] for place in sent.each),
        figures,
        restarted,
        round(figures.p99_ms / quiet_p99_ms, 1) if quiet_p99_ms else 0.0,
        workers.memory_mb(),
        round(time.monotonic() - began, 1),
        tuple(problems),
        sent.skipped,
        counted(target, sent.each),
        sent.memory,
    )


def whole_of(rows: Sequence[Row], calm: CalmFigures, quiet_p99_ms: float) -> Row:
    """A row of several attacks together, with what came of the calm stream in all their time."""
    restarts = [row.restarts for row in rows if row.restarts is not None]
    return Row(
        "all of them, mixed",
        "",
        "",
        sum(row.sent for row in rows),
        sum(row.aside for row in rows),
        calm,
        sum(restarts) if restarts else None,
        round(calm.p99_ms / quiet_p99_ms, 1) if quiet_p99_ms else 0.0,
        rows[-1].memory_mb if rows else None,
        round(sum(row.seconds for row in rows), 1),
        (),
        None,
        {},
        (),
    )


def counted(target: Target, places: Iterable[Place]) -> dict[str, dict[str, int]]:
    """What became of the records sent, by topic; `answered` counts those of `requests` alone."""
    found: dict[str, dict[str, int]] = {}
    for place in places:
        row = found.setdefault(place.topic, {"sent": 0, "answered": 0, "aside": 0})
        row["sent"] += 1
        row["answered"] += target.ledger.taken[place] if place.topic == target.settings.classify.topic else 0
        row["aside"] += target.ledger.aside[place]
    return found


def accounts(target: Target, sent: Sent) -> list[str]:
    """What is wrong with what became of the records sent: not read, lost, or answered twice."""
    if not sent.each:
        return []
    ledger, requests = target.ledger, target.settings.classify.topic

    def times(place: Place) -> int:
        return ledger.aside[place] + (ledger.taken[place] if place.topic == requests else 0)

    # Of a million records few are kept here: those that nothing is heard of yet.
    must = [place for place in sent.each if (sent.asides or place.topic == requests) and not times(place)]

    def worked() -> bool:
        ledger.read()
        must[:] = [place for place in must if not times(place)]
        return not must

    last: dict[str, dict[int, Place]] = {}
    for place in sent.each:
        of_topic = last.setdefault(place.topic, {})
        of_topic[place.partition] = max(place, of_topic.get(place.partition, place))
    unread = [
        topic
        for topic, of_topic in last.items()
        if not target.eventually(partial(target.is_read, [*of_topic.values()]))
    ]
    problems = [f"not read to the end: {', '.join(unread)}"] if unread else []
    if not target.eventually(worked):
        problems.append(_told("neither answered nor set aside", must))
    # Letters and journal stand before the position of whoever wrote them: all that was made of what is read is there.
    ledger.read_through()
    twice = [place for place in sent.each if times(place) > 1]
    if twice:
        problems.append(_told("answered or set aside more than once", twice))
    return problems


def _told(what: str, places: Sequence[Place]) -> str:
    shown = ", ".join(f"{place.topic}[{place.partition}]@{place.offset}" for place in places[:SHOWN])
    return f"{len(places)} records {what}: {shown}"
