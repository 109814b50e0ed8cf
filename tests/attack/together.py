"""Mutated records of all topics together, as many as one likes: each topic has a sender of its own.

A sender writes a round to one partition after another, and a further one as soon as the one before it is read: workers
never wait for records, and no queue grows. What is kept of each record is a byte or two.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

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


@dataclass
class _Sender:
    """What one topic's sender has written so far."""

    topic: str
    count: int
    stretches: list[Stretch] = field(default_factory=list)
    sent: int = 0
    refused: int | None = None
    stalled: bool = False
    failure: Exception | None = None


def attack(count: int, seed: int, until_s: float, workers: Workers, notes: Console) -> Attack:
    """The attack that sends `count` records, until a moment on the monotonic clock at the latest."""

    def run(target: Target, size: float) -> Sent:
        senders = [_Sender(topic, share) for topic, share in shares(max(1, int(count * size))).items()]
        return _run(target, senders, seed, until_s, workers, notes)

    return Attack("mutated together", f"{len(GOLDENS)} topics", "who writes them", run)


def _run(target: Target, senders: list[_Sender], seed: int, until_s: float, workers: Workers, notes: Console) -> Sent:
    end = threading.Event()
    threads = [
        threading.Thread(target=_send, args=(target, sender, seed, until_s, end), daemon=True) for sender in senders
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


def _send(target: Target, sender: _Sender, seed: int, until_s: float, end: threading.Event) -> None:
    try:
        _send_rounds(target, sender, random.Random(f"{sender.topic}/{seed}"), until_s, end)
    except Exception as problem:  # noqa: BLE001 - raised again where the threads are joined
        sender.failure = problem


def _send_rounds(target: Target, sender: _Sender, rng: random.Random, until_s: float, end: threading.Event) -> None:
    name = target.settings.classify.topic if sender.topic == "requests" else sender.topic
    partitions = target.partitions(name)
    waiting: list[list[Stretch]] = []
    number = 0
    while sender.sent < sender.count and time.monotonic() < until_s and not end.is_set():
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
