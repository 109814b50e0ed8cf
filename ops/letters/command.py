"""`refrain dead-letters`: list, show, retry and drop what could not be taken."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.control.options import Yes, confirm
from refrain.ops.letters.letter import LetterFilter, count_codes, each_once, read_place
from refrain.ops.run.processors import NAMES
from refrain.ops.terminal import exit_codes, output
from refrain.ops.terminal.choices import one_of
from refrain.ops.terminal.moments import moment_ms
from refrain.ops.terminal.options import read_option, settings_of
from refrain.streams.errors import BadInput, RefusalCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from refrain.ops.letters.letter import Letter, LetterPlace
    from refrain.streams.kafka.cluster import KafkaCluster
    from refrain.streams.settings import Settings

letters = typer.Typer(no_args_is_help=True, help="List, show, send again and drop what could not be taken.")
Since = Annotated[str, typer.Option(help="A span back (1h, 7d), or a moment.", metavar="TIME")]
Code = Annotated[
    str | None,
    typer.Option(help="Only of this code, such as bad_field.", show_default=False, callback=one_of(list(RefusalCode))),
]
Topic = Annotated[str | None, typer.Option(help="Only what came from this topic.", show_default=False)]
Processor = Annotated[
    str | None,
    typer.Option(help="Only what it set aside.", show_default=False, callback=one_of(NAMES)),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a letter.")]
Text = Annotated[bool, typer.Option("--text", help="Also what was sent: it may be a user's text.")]
Ids = Annotated[
    list[str] | None, typer.Argument(help="Letters, as `list` names them.", metavar="[ID]...", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the group to the command."""
    app.add_typer(letters, name="dead-letters")


@letters.command("list")
def list_letters(
    context: typer.Context,
    since: Since = "24h",
    code: Code = None,
    topic: Topic = None,
    processor: Processor = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters: id, when, from where, by whom and why. No text is shown.

    [bold]Examples[/bold]

    refrain dead-letters list

    refrain dead-letters list --since 1h --code bad_field --json
    """
    since_ms = _since_ms(since)
    found = _since(_cluster(settings_of(context)), since_ms, LetterFilter(code, topic, processor))
    if as_json:
        for letter in found:
            output.emit(letter.about())
        return
    output.table(
        ("id", "when", "source", "by", "code", "bytes"),
        [(letter.place, _stamp(letter), letter.source, letter.processor, letter.code,
          letter.about()["value_bytes"] or "-") for letter in found],
    )  # fmt: skip
    told = ", ".join(f"{count} {name} by {by}" for (by, name), count in count_codes(found).items())
    output.hint(f"{output.counted(len(found), 'dead letter')} since {since}{': ' + told if told else ''}")


@letters.command()
def show(
    context: typer.Context,
    ids: Annotated[list[str], typer.Argument(help="Letters, as `list` names them.", metavar="ID...")],
    text: Text = False,
    as_json: AsJson = False,
) -> None:
    """Show dead letters: sizes and reason code, and with --text what was sent.

    [bold]Example[/bold]

    refrain dead-letters show 0-17 --text
    """
    from refrain.ops.letters.topic import find

    places = _places(ids)
    for letter in find(_cluster(settings_of(context)), places):
        told = {**letter.about(), **(letter.text() if text else {})}
        if as_json:
            output.emit(told)
            continue
        told["at_ms"] = _stamp(letter)
        for name, value in told.items():
            output.say(f"{name.removesuffix('_ms'):<12} {'-' if value is None else value}")
    if not (text or as_json):
        output.hint("--text shows what was sent, and the reason in words")


@letters.command()
def retry(
    context: typer.Context,
    ids: Ids = None,
    since: Since = "24h",
    code: Code = None,
    topic: Topic = None,
    processor: Processor = None,
    yes: Yes = False,
) -> None:
    """Send the originals of dead letters again to the topics that they came from; tells how many and asks first.

    Name letters, or say which by code, topic or processor. A letter stays where it is: drop it when it is done with.
    One that does not hold its whole original is left out, and the exit code is 1.

    [bold]Examples[/bold]

    refrain dead-letters retry 0-17 0-18

    refrain dead-letters retry --code not_sent --since 2h --yes
    """
    from refrain.ops.letters.topic import find, send_again

    wanted = LetterFilter(code, topic, processor)
    if bool(ids) == (wanted != LetterFilter()):
        raise typer.BadParameter("name letters, or say which by --code, --topic or --processor", param_hint="ID")
    places, since_ms = _places(ids or ()), _since_ms(since)
    settings = settings_of(context)
    cluster = _cluster(settings)
    found = find(cluster, places) if places else _since(cluster, since_ms, wanted)
    if not found:
        output.hint(f"no dead letter since {since} is of that: see `refrain dead-letters list`")
    records, problems = [], []
    for letter in each_once(found):
        try:
            records.append(letter.original())
        except BadInput as problem:
            problems.append(str(problem))
    for told in problems:
        output.hint(f"left out: {told}")
    if records:
        confirm(f"Send {output.counted(len(records), 'record')} again?", yes)
        send_again(cluster, records)
    output.say(f"sent {output.counted(len(records), 'record')} again")
    if problems or not found:
        raise typer.Exit(exit_codes.FAILED)


@letters.command()
def drop(
    context: typer.Context,
    ids: Ids = None,
    everything: Annotated[bool, typer.Option("--all", help="All letters that there are.")] = False,
    yes: Yes = False,
) -> None:
    """Delete dead letters for good; tells how many and asks first.

    Kafka deletes from the beginning alone: with a letter go all older ones of its partition.

    [bold]Examples[/bold]

    refrain dead-letters drop 0-17

    refrain dead-letters drop --all --yes
    """
    from refrain.ops.cluster.connection import reach
    from refrain.ops.letters.letter import LetterPlace
    from refrain.ops.letters.topic import TOPIC, drop_through, find

    if bool(ids) == everything:
        raise typer.BadParameter("name the last letter that goes, or all with --all", param_hint="ID")
    places = _places(ids or ())
    settings = settings_of(context)
    cluster = _cluster(settings)
    ends = cluster.ends(TOPIC)
    if everything:
        last = [LetterPlace(partition, end - 1) for partition, (first, end) in sorted(ends.items()) if end > first]
    else:
        last = [letter.place for letter in find(cluster, places)]
    furthest = list({place.partition: place for place in sorted(last)}.values())
    count = sum(
        sum(record.offset <= place.offset for record in cluster.scan(TOPIC, place.partition, ends[place.partition][0]))
        for place in furthest
    )
    if count:
        confirm(f"Delete {output.counted(count, 'dead letter')}, the named and all older ones?", yes)
        drop_through(reach(settings), settings, furthest)
    output.say(f"dropped {output.counted(count, 'dead letter')}")


def _cluster(settings: Settings) -> KafkaCluster:
    """The cluster, once it answers. Raises Unreachable."""
    from refrain.ops.cluster.connection import reach
    from refrain.streams.kafka.cluster import KafkaCluster

    reach(settings)
    return KafkaCluster(settings)


def _places(ids: Sequence[str]) -> list[LetterPlace]:
    return [place for text in ids if (place := read_option(read_place, text, "ID")) is not None]


def _since_ms(since: str) -> int:
    return moment_ms(since, "--since") or 0


def _since(cluster: KafkaCluster, since_ms: int, wanted: LetterFilter) -> list[Letter]:
    from refrain.ops.letters.topic import read_since

    return [letter for letter in read_since(cluster, since_ms) if wanted.takes(letter)]


def _stamp(letter: Letter) -> str:
    return time.strftime("%m-%d %H:%M:%S", time.localtime(letter.record.timestamp_ms / 1_000))
