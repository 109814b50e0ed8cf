"""`refrain replay`: the recorded journal again, into topics of another prefix."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from refrain.ops.terminal import output
from refrain.ops.terminal.options import read_option, settings_of
from refrain.ops.terminal.partitions import chosen_partitions
from refrain.ops.terminal.points import Point, check_order, point_of
from refrain.ops.terminal.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refrain.ops.replay.partition import Replayed
    from refrain.ops.replay.stretch import Stretch
    from refrain.streams.kafka.interface import Cluster
    from refrain.streams.settings import Settings

MAX = "max"
Partitions = Annotated[
    list[int] | None, typer.Option(min=0, help="Only this one; may be given several times.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    context: typer.Context,
    into: Annotated[str, typer.Option(help="The prefix of the topics to write; none of them may hold anything.")],
    from_file: Annotated[
        str | None,
        typer.Option(
            "--from-file",
            help="Take the journal from this export (`refrain export journal`); - for standard input.",
            show_default=False,
            metavar="FILE",
        ),
    ] = None,
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

    With --from-file the journal is that of an export, perhaps of another cluster: nothing of the live topics is read.
    The whole file is checked before a topic is made. The topics are those of the table, with its number of shards.

    [bold]Examples[/bold]

    refrain replay --into copy.

    refrain replay --into incident. --partition 3 --until 48210

    refrain replay --into copy. --from 2026-03-01T12:00 --until 2026-03-01T13:00 --speed 10

    refrain replay --from-file ticket.jsonl.zst --into ticket.

    refrain --prefix copy. audit
    """
    from refrain.ops.cluster.connection import reach
    from refrain.ops.replay.stretch import Stretch
    from refrain.ops.replay.target import check_form
    from refrain.streams.kafka.cluster import KafkaCluster

    times = read_option(_read_speed, speed, "--speed")
    first, last = point_of(since, "--from"), point_of(until, "--until")
    check_order(first, last)
    settings = settings_of(context)
    check_form(into, settings.prefix)
    with ExitStack() as stack:
        if from_file is None:
            reach(settings)
            source: Cluster = stack.enter_context(KafkaCluster(settings))
            numbers, shards = chosen_partitions(source.partitions("journal"), partition), None
        else:
            recorded = stack.enter_context(_recorded(from_file, partition))
            source, numbers, shards = recorded.journal, recorded.partitions, recorded.journal.partitions("journal")
        stretch = Stretch(source, numbers, last)
        if first is not None:
            stretch.check(first)
        done = _replayed(settings, source, into, stretch, first, times, shards)
    _show(done, into, as_json=as_json)


class _Recorded(NamedTuple):
    """A recorded journal, and which partitions of it are replayed."""

    journal: Cluster
    partitions: list[int]


@contextmanager
def _recorded(file: str, partitions: list[int] | None) -> Iterator[_Recorded]:
    """The journal of an export. Says what is to be known of it. Raises BadInput and FileUnreadable."""
    from refrain.ops.transfer.file import ExportFile
    from refrain.ops.transfer.recording import notes_on, recorded_journal
    from refrain.ops.transfer.streams import rereadable

    with rereadable(file) as path:
        export = ExportFile(path, file)
        with recorded_journal(export, file, partitions) as (journal, checked):
            for note in notes_on(export.header, checked):
                output.hint(note)
            yield _Recorded(journal, sorted(set(export.header.offsets if partitions is None else partitions)))


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
    settings: Settings,
    cluster: Cluster,
    into: str,
    stretch: Stretch,
    since: Point | None,
    times: float | None,
    shards: int | None,
) -> list[Replayed]:
    """Replay into topics that are made for it: with so many `shards` (None: like the live ones)."""
    from contextlib import closing

    from refrain.ops.cluster.journal_copy import KafkaJournalCopy
    from refrain.ops.replay.run import Pace, replay
    from refrain.ops.replay.target import NAME, Target
    from refrain.streams.kafka.cluster import KafkaCluster
    from refrain.streams.messaging.sending import fitting_producer
    from refrain.streams.metrics import Metrics

    theirs = _prepared(settings, into, shards)
    with (
        KafkaCluster(theirs) as copy,
        closing(KafkaJournalCopy(theirs)) as journal,
        closing(fitting_producer(copy.producer(), copy, into, "lookup", Metrics())) as effects,
        closing(copy.transactional(NAME)) as commits,
        progress_bar(f"replaying into {into}", len(stretch)) as progress,
    ):
        pace = None if times is None else Pace(times)
        return replay(cluster, Target(journal, effects, commits), stretch, since=since, pace=pace, progress=progress)


def _prepared(settings: Settings, into: str, shards: int | None) -> Settings:
    """Make the topics; returns the settings of the copy. Raises BadInput where the prefix will not do."""
    from refrain.ops.cluster.connection import reach, topic_names
    from refrain.ops.replay.target import CHANGED, check_empty, check_prefix, check_stamps
    from refrain.ops.topics.admin import count_of, create_like, create_planned, describe
    from refrain.ops.topics.table import topics_of
    from refrain.streams.kafka.cluster import KafkaCluster

    admin = reach(settings)
    check_prefix(into, settings.prefix, topic_names(admin, settings))
    theirs = settings.model_copy(update={"prefix": into})
    if shards is None:
        wanted = {topic: row.partitions for topic, row in describe(admin, settings).items() if row.partitions}
    else:
        wanted = {topic.name: count_of(topic, shards) for topic in topics_of(theirs)}
    there = {topic: row for topic, row in describe(admin, theirs).items() if row.partitions}
    if "journal" in there:
        check_stamps(there["journal"].config, into)
    with KafkaCluster(theirs) as copy:
        check_empty(copy, {topic: count for topic, count in wanted.items() if topic in there}, into)
        if shards is None:
            create_like(admin, settings, into, CHANGED)
        else:
            create_planned(admin, theirs, shards, CHANGED)
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
