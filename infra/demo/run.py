"""Demo run: asks the questions of `demo.yaml` wave by wave, shows the outcome of each, and checks it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from infra.demo.leaks import files_with, topics_with
from infra.demo.script import Demo, ScriptedQuestion
from refrain.ops.ask.client import AskReply, Client
from refrain.ops.ask.questions import Defaults, answer_of, request_of
from refrain.streams.settings import Settings

IN_FLIGHT = 4
"""Questions open at a time: few, so that the latencies shown are those of a question and not of a queue."""
TIMEOUT_S = 60.0
MAY_HOLD_NEVER = frozenset({"requests", "forwards", "completions", "progress", "responses"})
"""The topics that text of a category that may not be cached passes through."""
COLOURS = {"hit": "green", "coalesced": "green", "miss": "yellow", "bypass": "cyan"}


@dataclass(frozen=True)
class AskedQuestion:
    """Asked question with its reply."""

    question: ScriptedQuestion
    reply: AskReply

    @property
    def outcome(self) -> str:
        return "none" if self.reply.response is None else str(self.reply.response.outcome)

    @property
    def answer(self) -> str:
        return "" if self.reply.response is None else answer_of(self.reply.response.body)


def run_demo(settings: Settings, demo: Demo, folders: Iterable[Path], console: Console) -> list[str]:
    """Run the demo: ask, show and check. `folders` hold all local files of the service. Returns the deviations."""
    asked = ask(settings, demo, console)
    wrong = deviations(asked)
    console.print(table(asked))
    console.print(summary(asked, len(wrong)), highlight=False, soft_wrap=True)
    leaks = find_leaks(settings, asked, folders, console)
    return wrong + leaks


def ask(settings: Settings, demo: Demo, console: Console) -> list[AskedQuestion]:
    """Ask all questions, each wave when the one before is answered."""
    asked: list[AskedQuestion] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, Client(settings) as client:
        task = progress.add_task("asking", total=len(demo.questions))
        for number, wave in enumerate(demo.waves(), 1):
            progress.update(task, description=f"asking, wave {number}")
            requests = [request_of(one.question, Defaults(demo.model, one.category)) for one in wave]
            replies = client.ask(
                requests,
                timeout_s=TIMEOUT_S,
                in_flight_max=IN_FLIGHT,
                on_response=lambda _number, _response, _latency_ms: progress.advance(task),
            )
            asked += [AskedQuestion(one, reply) for one, reply in zip(wave, replies, strict=True)]
    return asked


def deviations(asked: Sequence[AskedQuestion]) -> list[str]:
    """Deviations from what the questions expect, one line each."""
    answers = {one.question.question: one.answer for one in asked if one.question.expect == "miss"}
    wrong = []
    for one in asked:
        want, text = one.question, one.question.question
        if one.outcome != want.expect:
            wrong.append(f"{text!r}: {want.expect} expected, {one.outcome} came {_why(one.reply)}".rstrip())
        elif not one.answer:
            wrong.append(f"{text!r}: {one.outcome} without an answer")
        elif want.expect == "hit" and one.answer != answers.get(want.same_as or ""):
            wrong.append(f"{text!r}: the answer is not that of {want.same_as!r}")
    return wrong


def _why(reply: AskReply) -> object:
    """Why it came so: the failure, the error, or the reason of the decision."""
    response = reply.response
    if response is None:
        return reply.failure or ""
    return response.error or (response.decision.reason if response.decision is not None else "")


def table(asked: Sequence[AskedQuestion]) -> Table:
    """Table of the questions, a row each."""
    shown = Table(title="What came of each question", title_justify="left")
    shown.add_column("question", overflow="fold")
    for name in ("category", "outcome"):
        shown.add_column(name, no_wrap=True)
    for name in ("similarity", "threshold", "ms"):
        shown.add_column(name, justify="right", no_wrap=True)
    wave = 1
    for one in asked:
        if one.question.wave != wave:
            wave = one.question.wave
            shown.add_section()
        decision = one.reply.response.decision if one.reply.response is not None else None
        good = one.outcome == one.question.expect
        shown.add_row(
            Text(one.question.question),
            (decision.category if decision is not None else None) or "-",
            Text(one.outcome + ("" if good else " !"), style=COLOURS.get(one.outcome, "red") if good else "bold red"),
            _number(decision.similarity if decision is not None else None, 2),
            _number(decision.threshold if decision is not None else None, 2),
            _number(one.reply.latency_ms, 1),
        )
    return shown


def summary(asked: Sequence[AskedQuestion], wrong: int) -> str:
    """Summary of the run on one line."""
    count = Counter(one.outcome for one in asked)
    saved = count["hit"] + count["coalesced"]
    return (
        f"asked {len(asked)}: {count['hit']} hits, {count['miss']} misses, {count['coalesced']} coalesced,"
        f" {count['bypass']} bypassed, {count['error'] + count['none']} errors, {wrong} wrong;"
        f" model calls saved {saved} of {len(asked)};"
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
            soft_wrap=True,
        )
    return leaks


def _median(asked: Sequence[AskedQuestion], outcome: str) -> str:
    times = [one.reply.latency_ms for one in asked if one.outcome == outcome and one.reply.latency_ms is not None]
    return f"{median(times):.0f} ms" if times else "-"


def _number(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:.{places}f}"
