"""Mutated records of all topics together, as many as one likes: each topic has a sender of its own.

A sender writes a round to one partition after another, and a further one as soon as the one before it is read: workers
never wait for records, and no queue grows. Topics that no group shares (each worker reads all of `policies`) are
written in step with the slowest of the others. What is kept of each record is a byte or two.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from refrain.schemas.topics import BY_NAME
from tests.attack.attack import Attack, Row, Sent
from tests.attack.mutations import CODECS, shares
from tests.attack.places import Place, Stretch
from tests.attack.target import Target
from tests.attack.workers import Workers
from tests.fuzz.records import GOLDENS, mutated
from tests.streams.kafka.raw_records import NotTaken

ROUND = 500
AHEAD = 2
"""Rounds of a topic that may wait to be read."""
LOOK_S = 30.0
"""From one look at the workers' memory to the next."""
TURN_S = 0.2


@dataclass
class Sender:
    """What one topic's sender has written so far."""

    topic: str
    count: int
    stretches: list[Stretch] = field(default_factory=list)
    sent: int = 0
    refused: int | None = None
    stalled: bool = False
    failure: Exception | None = None

    @property
    def is_shared(self) -> bool:
        """Whether a group shares the topic, so that its positions tell what is read."""
        return BY_NAME[self.topic].group is not None

    @property
    def done(self) -> float:
        """The part that is sent."""
        return self.sent / self.count


def attack(count: int, seed: int, until_s: float, workers: Workers, notes: Console) -> Attack:
    """The attack that sends `count` records, until a moment on the monotonic clock at the latest."""

    def run(target: Target, size: float) -> Sent:
        # So many are sent in the short form too.
        senders = [Sender(topic, share) for topic, share in shares(count).items()]
        return _run(target, senders, seed, until_s, workers, notes)

    return Attack("mutated together", f"{len(GOLDENS)} topics", "who writes them", run)


def _run(target: Target, senders: list[Sender], seed: int, until_s: float, workers: Workers, notes: Console) -> Sent:
    end = threading.Event()
    threads = [
        threading.Thread(
            target=_send, args=(target, sender, partial(is_turn, senders, sender), seed, until_s, end), daemon=True
        )
        for sender in senders
    ]
    memory = [workers.memory_by_worker()]
    looked_s = time.monotonic()
    whole = sum(sender.count for sender in senders)
    columns = (TextColumn("mutated"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    for thread in threads:
        thread.start()
    try:
        with Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as progress:
            bar = progress.add_task("", total=whole)
            while any(thread.is_alive() for thread in threads):
                target.ledger.read()
                sent = sum(sender.sent for sender in senders)
                progress.update(bar, completed=sent)
                if time.monotonic() - looked_s > LOOK_S:
                    looked_s = time.monotonic()
                    memory.append(workers.memory_by_worker())
                    if not notes.is_terminal:
                        notes.print(
                            f"{sent:,} of {whole:,} sent, workers {sum(memory[-1].values()):,} MB", markup=False
                        )
    finally:
        end.set()
        for thread in threads:
            thread.join()
    memory.append(workers.memory_by_worker())
    done = Sent(memory=memory)
    for sender in senders:
        if sender.failure is not None:
            raise sender.failure
        done.stretches.add(sender.stretches)
    sent = sum(sender.sent for sender in senders)
    refused = {sender.refused for sender in senders if sender.refused is not None}
    if sent < whole:
        done.skipped = f"the time was over after {sent:,} of {whole:,}"
    elif refused:
        done.skipped = f"the broker refuses some ({', '.join(map(str, sorted(refused)))})"
    done.problems += [
        f"{sender.topic} was not read on in {target.wait_s:.0f} s" for sender in senders if sender.stalled
    ]
    return done


def is_turn(senders: Sequence[Sender], one: Sender) -> bool:
    """Whether a sender may go on: one whose topic no group shares is not ahead of the others."""
    return one.is_shared or one.done <= min(other.done for other in senders if other.is_shared)


def _send(
    target: Target, sender: Sender, is_turn: Callable[[], bool], seed: int, until_s: float, end: threading.Event
) -> None:
    try:
        _send_rounds(target, sender, is_turn, random.Random(f"{sender.topic}/{seed}"), until_s, end)
    except Exception as problem:  # noqa: BLE001 - raised again where the threads are joined
        sender.failure = problem


def _send_rounds(
    target: Target,
    sender: Sender,
    is_turn: Callable[[], bool],
    rng: random.Random,
    until_s: float,
    end: threading.Event,
) -> None:
    name = target.settings.classify.topic if sender.topic == "requests" else sender.topic
    partitions = target.partitions(name)
    waiting: list[list[Stretch]] = []
    number = 0
    while sender.sent < sender.count and time.monotonic() < until_s and not end.is_set():
        if not is_turn():
            end.wait(TURN_S)
            continue
        records = [mutated(rng, sender.topic) for _ in range(min(ROUND, sender.count - sender.sent))]
        sender.sent += len(records)
        try:
            written = target.write_to(name, number % partitions, records, rng.choice(CODECS))
        except NotTaken as refused:
            sender.refused = refused.code
        else:
            sender.stretches += written
            waiting.append(written)
        number += 1
        if len(waiting) > AHEAD:
            places = [[*stretch][-1] for stretch in waiting.pop(0)]
            if not target.eventually(partial(_read, target, places, end)):
                sender.stalled = True
                return


def _read(target: Target, places: list[Place], end: threading.Event) -> bool:
    return end.is_set() or target.is_read(places)


def shown(row: Row) -> list[str]:
    """Lines of what became of the records of each topic, and of each worker's memory at start, middle and end."""
    lines = [
        f"{topic}: {of['sent']:,} sent, {of['answered']:,} answered, {of['aside']:,} set aside"
        for topic, of in row.by_topic.items()
    ]
    if not row.memory:
        return lines
    first, middle, last = (row.memory[at] for at in (0, len(row.memory) // 2, -1))
    return lines + [f"{name}: {mb} MB, {middle.get(name, 0)} MB, {last.get(name, 0)} MB" for name, mb in first.items()]
