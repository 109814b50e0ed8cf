"""An attack: what it sends, by which right, and what must hold. One runner carries out all of them alike.

After each, whatever it was: what was sent is read to its end; each record is set aside or answered, once; every good
question is answered rightly; no worker was started again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from tests.attack.calm import CalmFigures, CalmStream
from tests.attack.target import Place, Target
from tests.attack.workers import Workers

SHOWN = 3
"""Places named of those that are wrong."""


@dataclass
class Sent:
    """What an attack sent, and what it found wrong itself."""

    places: list[Place] = field(default_factory=list)
    asides: bool = False
    """Whether nothing of it can be taken, so that each record must be set aside."""
    asked: int = 0
    """Requests asked by a client beside them."""
    problems: list[str] = field(default_factory=list)
    skipped: str | None = None
    """Why nothing could be tried."""


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
        len(sent.places) + sent.asked,
        sum(target.ledger.aside[place] for place in sent.places),
        figures,
        restarted,
        round(figures.p99_ms / quiet_p99_ms, 1) if quiet_p99_ms else 0.0,
        workers.memory_mb(),
        round(time.monotonic() - began, 1),
        tuple(problems),
        sent.skipped,
    )


def accounts(target: Target, sent: Sent) -> list[str]:
    """What is wrong with what became of the records sent: not read, lost, or answered twice."""
    if not sent.places:
        return []
    ledger, requests = target.ledger, target.settings.classify.topic

    def times(place: Place) -> int:
        return ledger.aside[place] + (ledger.taken[place] if place.topic == requests else 0)

    must = [place for place in sent.places if sent.asides or place.topic == requests]

    def worked() -> bool:
        ledger.read()
        return all(times(place) for place in must)

    by_topic: dict[str, list[Place]] = {}
    for place in sent.places:
        by_topic.setdefault(place.topic, []).append(place)
    unread = [topic for topic, places in by_topic.items() if not target.eventually(partial(target.is_read, places))]
    problems = [f"not read to the end: {', '.join(unread)}"] if unread else []
    if not target.eventually(worked):
        problems.append(_told("neither answered nor set aside", [place for place in must if not times(place)]))
    # Letters and journal stand before the position of whoever wrote them: all that was made of what is read is there.
    ledger.read_through()
    twice = [place for place in sent.places if times(place) > 1]
    if twice:
        problems.append(_told("answered or set aside more than once", twice))
    return problems


def _told(what: str, places: Sequence[Place]) -> str:
    shown = ", ".join(f"{place.topic}[{place.partition}]@{place.offset}" for place in places[:SHOWN])
    return f"{len(places)} records {what}: {shown}"
