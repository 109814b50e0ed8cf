"""`refrain explain`: why a request was answered as it was, or what became of an entry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from refrain.ops.explain.sheet import Sheet
from refrain.ops.terminal import output
from refrain.ops.terminal.options import settings_of
from refrain.ops.terminal.out_files import check_writable
from refrain.ops.terminal.standard_input import read_text
from refrain.streams import time_of_day

if TYPE_CHECKING:
    from refrain.streams.kafka.interface import Cluster

STDIN = "-"
STDIN_CHARS_MAX = 8_000_000


class Explained(NamedTuple):
    """An explanation for people, and for programs."""

    sheet: Sheet
    json: dict[str, Any]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)


def explain(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            help="The id of a decision, an entry or a request, or - for a response's or decision's JSON on stdin.",
            metavar="WHAT",
        ),
    ],
    no_text: Annotated[bool, typer.Option("--no-text", help="Show no text of users.")] = False,
    who: Annotated[
        bool, typer.Option("--who", help="Look through all decisions for who else was served from the entry.")
    ] = False,
    scan: Annotated[
        bool, typer.Option("--scan", help="Look as far as the topics reach, however long it takes.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write one page that loads nothing from elsewhere.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Explain a decision: the question, what was near it, the terms in force, and what decided. Or an entry's life.

    Texts are shown to whoever may read the journal.

    [bold]Examples[/bold]

    refrain explain 3-1042-9f2c11aa04be

    refrain ask --json "How do I reverse a list?" | refrain explain - --html why.html
    """
    from refrain.ops.cluster.connection import reach
    from refrain.ops.explain.subject import FORMS
    from refrain.ops.explain.terminal_view import show
    from refrain.streams.kafka.cluster import KafkaCluster

    if not what.strip():
        raise typer.BadParameter(f"nothing is named: give {FORMS}", param_hint="WHAT")
    check_writable(html)
    settings = settings_of(context)
    text = read_text(STDIN_CHARS_MAX) if what == STDIN else what
    reach(settings)
    with KafkaCluster(settings) as cluster:
        found = explained(cluster, text, with_text=not no_text, who=who, scan_all=scan)
    if html is not None:
        from refrain.ops.explain.page import write_page

        write_page(found.sheet, html)
    if as_json:
        output.emit(found.json)
    elif html is None:
        show(found.sheet)


def explained(
    cluster: Cluster, text: str, *, with_text: bool = True, who: bool = False, scan_all: bool = False
) -> Explained:
    """Explain what a text names. Raises BadInput for what is not there."""
    from refrain.ops.explain import subject

    text = text.strip()
    place = subject.entry_in(cluster, text)
    if place is not None:
        from refrain.ops.explain import lives

        life = lives.gather_life(cluster, text, place, with_text=with_text, scan_all=scan_all)
        return Explained(lives.entry_sheet(life), lives.entry_json(life))
    from refrain.ops.explain import decision_sheet, gather

    decision = subject.decision_in(cluster, text, time_of_day.now_ms, scan_all=scan_all)
    facts = gather.gather(cluster, decision, with_text=with_text, who=who or scan_all)
    return Explained(decision_sheet.decision_sheet(facts), decision_sheet.decision_json(facts))
