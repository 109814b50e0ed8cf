"""Demo run: asks the questions of `demo.yaml` wave by wave, then its steps; shows what comes of each, and checks it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from infra.demo.asked import AskedQuestion, ask_questions, deviations
from infra.demo.leaks import files_with, topics_with
from infra.demo.script import Demo
from infra.demo.steps import show_load, show_withdrawal
from infra.demo.told import tell_guard, tell_load, tell_withdrawal
from refrain.ops.ask.client import Client
from refrain.streams.settings import Settings

MAY_HOLD_NEVER = frozenset({"requests", "forwards", "completions", "progress", "responses"})
"""The topics that text of a category that may not be cached passes through."""
COLOURS = {"hit": "green", "coalesced": "green", "miss": "yellow", "bypass": "cyan"}


@dataclass(frozen=True)
class DemoResult:
    """What a run of the demo asked, and what was wrong, one line each."""

    asked: list[AskedQuestion]
    wrong: list[str]


def run_demo(settings: Settings, demo: Demo, folders: Iterable[Path], console: Console) -> DemoResult:
    """Run the demo: ask, show and check. `folders` hold all local files of the service."""
    with Client(settings) as client:
        asked = ask(client, demo, console)
        console.print(table(asked), "")
        asked += run_steps(settings, client, demo, asked, console)
    wrong = deviations(asked)
    console.print(summary(asked, len(wrong)), highlight=False, soft_wrap=not console.is_terminal)
    return DemoResult(asked, wrong + find_leaks(settings, asked, folders, console))


def ask(client: Client, demo: Demo, console: Console) -> list[AskedQuestion]:
    """Ask all questions, each wave when the one before is answered."""
    asked: list[AskedQuestion] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("asking", total=len(demo.questions))
        for number, wave in enumerate(demo.waves(), 1):
            progress.update(task, description=f"asking, wave {number}")
            asked += ask_questions(client, demo.model, wave, lambda: progress.advance(task))
    return asked


def run_steps(
    settings: Settings, client: Client, demo: Demo, asked: Sequence[AskedQuestion], console: Console
) -> list[AskedQuestion]:
    """Show what a guard refused, and run the steps behind the waves; what they asked. Raises ClusterFailed."""
    wave = demo.last_wave + 1
    more: list[AskedQuestion] = []
    tell(console, tell_guard(asked))
    # First: under load its threshold is another one than the waves show.
    if demo.withdrawal is not None:
        asks = show_withdrawal(settings, client, demo.model, demo.withdrawal, wave)
        tell(console, tell_withdrawal(demo.withdrawal, asks))
        more += asks
    if demo.load is not None:
        asks = show_load(settings, client, demo.model, demo.load, wave + 1)
        tell(console, tell_load(asks))
        more += asks
    return more


def tell(console: Console, lines: Sequence[str]) -> None:
    """Print lines as they are, and an empty one behind them."""
    if lines:
        console.print("\n".join([*lines, ""]), markup=False, highlight=False, soft_wrap=True)


def table(asked: Sequence[AskedQuestion]) -> Table:
    """Table of the questions, a row each."""
    shown = Table(
        title="What came of each question",
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    shown.add_column("question")
    for name in ("category", "outcome"):
        shown.add_column(name, no_wrap=True)
    for name in ("simi-\nlarity", "thresh-\nold", "ms"):
        shown.add_column(name, justify="right", no_wrap=True)
    wave = 1
    for one in asked:
        if one.question.wave != wave:
            wave = one.question.wave
            shown.add_section()
        decision = one.decision
        good = one.outcome == one.question.expect
        shown.add_row(
            Text(one.question.question),
            (decision.category if decision is not None else None) or "-",
            Text(one.outcome + ("" if good else " !"), style=COLOURS.get(one.outcome, "red") if good else "bold red"),
            _number(decision.similarity if decision is not None else None, 2),
            _number(decision.threshold if decision is not None else None, 2),
            _number(one.reply.latency_ms, 0),
        )
    return shown


def summary(asked: Sequence[AskedQuestion], wrong: int) -> str:
    """Summary of the run on one line."""
    count = Counter(one.outcome for one in asked)
    saved, unserved = count["hit"] + count["coalesced"], count["not_cached"]
    return (
        f"asked {len(asked)}: {count['hit']} hits, {count['miss']} misses, {count['coalesced']} coalesced,"
        f" {count['bypass']} bypassed,"
        + (f" {unserved} not in the cache," if unserved else "")
        + f" {count['error'] + count['none']} errors, {wrong} wrong;"
        f" model calls saved {saved} of {len(asked) - unserved};"
        f" median hit {_median(asked, 'hit')}, miss {_median(asked, 'miss')}"
    )


def find_leaks(
    settings: Settings, asked: Sequence[AskedQuestion], folders: Iterable[Path], console: Console
) -> list[str]:
    """Search topics and files for uncacheable questions and answers; prints the result, returns the leaks."""
    never = {text for one in asked if one.question.expect == "bypass" for text in (one.question.question, one.answer)}
    kept = next(one.question.question for one in asked if one.question.expect == "miss")
    topics = topics_with(settings, {*never - {""}, kept})
    files = files_with(folders, never - {""})
    leaks = [
        f"text that may not be cached is in the topic {name}: {sorted(texts - {kept})}"
        for name, texts in sorted(topics.items())
        if name not in MAY_HOLD_NEVER and texts - {kept}
    ]
    leaks += [f"text that may not be cached is in the file {path}" for path in files]
    if kept not in topics.get("journal", ()):
        # Otherwise finding nothing would prove nothing.
        leaks.append(f"the search is blind: {kept!r} is not found in the journal")
    if not leaks:
        passed = ", ".join(sorted(topics.keys() & MAY_HOLD_NEVER))
        console.print(
            f"uncacheable: {len(never)} texts looked for in every topic and local file, found only in {passed}",
            highlight=False,
            soft_wrap=not console.is_terminal,
        )
    return leaks


def _median(asked: Sequence[AskedQuestion], outcome: str) -> str:
    times = [one.reply.latency_ms for one in asked if one.outcome == outcome and one.reply.latency_ms is not None]
    return f"{median(times):.0f} ms" if times else "-"


def _number(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:.{places}f}"
