"""`refrain replay`: the recorded journal again, into topics of another prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.terminal import output
from refrain.ops.terminal.options import read_option, settings_of
from refrain.ops.terminal.partitions import chosen_partitions
from refrain.ops.terminal.points import Point, read_point
from refrain.ops.terminal.progress import progress_bar

if TYPE_CHECKING:
    from refrain.ops.replay.partition import Replayed
    from refrain.ops.replay.stretch import Stretch
    from refrain.streams.kafka.interface import Cluster
    from refrain.streams.settings import Settings

MAX = "max"
Partitions = Annotated[
    list[int] | None, typer.Option(help="Only this one; may be given several times.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    context: typer.Context,
    into: Annotated[str, typer.Option(help="The prefix of the topics to write; none of them may hold anything.")],
    partition: Partitions = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Publish from this offset or moment on; what came before makes the state alone.",
            show_default=False,
            metavar="OFFSET|TIME",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(help="End before this offset or moment.", show_default=False, metavar="OFFSET|TIME"),
    ] = None,
    speed: Annotated[
        str, typer.Option(help="As fast as it can, or a multiple of the recorded speed: 1, 0.5, 60.", metavar="N|max")
    ] = MAX,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a partition.")] = False,
) -> None:
    """Fold the recorded journal again into topics of another prefix. Nothing live is touched.

    The topics are made like the live ones. The journal is copied with its offsets and timestamps, so that documents,
    decisions, responses and forwards come out with the ids that they have live, and an audit of the copy agrees.
    Responses to reply topics of clients are left out. No worker should run on the copy: its forwards would be asked of
    the model again. It begins in empty topics and does not go on where another replay ended.

    [bold]Examples[/bold]

    refrain replay --into copy.

    refrain replay --into incident. --partition 3 --until 48210

    refrain replay --into copy. --from 2026-03-01T12:00 --until 2026-03-01T13:00 --speed 10

    refrain --prefix copy. audit
    """
    from refrain.ops.cluster.connection import reach
    from refrain.ops.replay.stretch import Stretch
    from refrain.streams.kafka.cluster import KafkaCluster

    times = read_option(_read_speed, speed, "--speed")
    first, last = read_option(read_point, since, "--from"), read_option(read_point, until, "--until")
    settings = settings_of(context)
    reach(settings)
    with KafkaCluster(settings) as cluster:
        stretch = Stretch(cluster, chosen_partitions(cluster.partitions("journal"), partition), last)
        if first is not None:
            stretch.check(first)
        done = _replayed(settings, cluster, into, stretch, first, times)
    _show(done, into, as_json=as_json)


def _read_speed(text: str) -> float | None:
    """How many times as fast as recorded; None for as fast as it can. Raises ValueError."""
    if text == MAX:
        return None
    try:
        times = float(text)
    except ValueError:
        times = 0.0
    if not 0 < times < float("inf"):
        raise ValueError(f"{text!r} is no speed: write max, or a number above 0")
    return times


def _replayed(
    settings: Settings, cluster: Cluster, into: str, stretch: Stretch, since: Point | None, times: float | None
) -> list[Replayed]:
    from contextlib import closing

    from refrain.ops.cluster.journal_copy import KafkaJournalCopy
    from refrain.ops.replay.run import Pace, replay
    from refrain.ops.replay.target import NAME, Target
    from refrain.streams.kafka.cluster import KafkaCluster
    from refrain.streams.messaging.sending import fitting_producer
    from refrain.streams.metrics import Metrics

    theirs = _prepared(settings, cluster, into)
    with (
        KafkaCluster(theirs) as copy,
        closing(KafkaJournalCopy(theirs)) as journal,
        closing(fitting_producer(copy.producer(), copy, into, "lookup", Metrics())) as effects,
        closing(copy.transactional(NAME)) as commits,
        progress_bar(f"replaying into {into}", len(stretch)) as progress,
    ):
        pace = None if times is None else Pace(times)
        return replay(cluster, Target(journal, effects, commits), stretch, since=since, pace=pace, progress=progress)


def _prepared(settings: Settings, cluster: Cluster, into: str) -> Settings:
    """Make the topics; returns the settings of the copy. Raises BadInput where the prefix will not do."""
    from refrain.ops.cluster.connection import reach, topic_names
    from refrain.ops.replay.target import CHANGED, check_empty, check_prefix, check_stamps
    from refrain.ops.topics.admin import create_like, describe
    from refrain.streams.kafka.cluster import KafkaCluster

    admin = reach(settings)
    check_prefix(into, settings.prefix, topic_names(admin, settings))
    theirs = settings.model_copy(update={"prefix": into})
    live = {topic: row.partitions for topic, row in describe(admin, settings).items() if row.partitions}
    there = {topic: row for topic, row in describe(admin, theirs).items() if row.partitions}
    if "journal" in there:
        check_stamps(there["journal"].config, into)
    with KafkaCluster(theirs) as copy:
        check_empty(copy, {topic: count for topic, count in live.items() if topic in there}, into)
        create_like(admin, settings, into, CHANGED)
    return theirs


def _show(done: list[Replayed], into: str, *, as_json: bool) -> None:
    if as_json:
        for each in done:
            output.emit(
                {
                    "partition": each.partition,
                    "end": each.end,
                    "time_ms": each.time_ms,
                    "counts": dict(sorted(each.counts.items())),
                    "state": each.state,
                    "other_version": each.other_version or None,
                }
            )
        return
    names = ("records", "decisions", "documents", "responses", "forwards", "client_topics")
    output.table(
        ("partition", "until", *names[:-1], "left out", "state"),
        [
            (each.partition, each.end, *(each.counts[name] for name in names), each.state)
            for each in done
            if each.counts["records"]
        ],
    )
    left_out = sum(each.counts["client_topics"] for each in done)
    if left_out:
        output.hint(f"{output.counted(left_out, 'response')} to reply topics of clients not written: those are live")
    for each in done:
        if each.other_version:
            output.hint(
                f"partition {each.partition}: {each.other_version} decided live, and this version may decide otherwise"
            )
    output.hint(f"`refrain --prefix {into} audit` checks the copy")
