"""Progress bars and tables of `refrain bench load`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from refrain.ops.terminal.output import console, hint, number, say, table

HINTS = 5
"""Lines that tell of each step where no bar can be drawn."""


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each step on a terminal, a few lines elsewhere; on stderr."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    shown = console(stderr=True)
    tasks: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=shown, disable=not shown.is_terminal, transient=True) as bars:

        def tell(what: str, done: int, of: int) -> None:
            if not shown.is_terminal:
                if done * HINTS // of > tasks.get(what, 0):
                    tasks[what] = TaskID(done * HINTS // of)
                    hint(f"{what}: {done} of {of}")
                return
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of)
            bars.update(tasks[what], completed=done)

        yield tell


def present(figures: dict[str, Any], as_json: bool) -> None:
    """Print the figures on standard output: one JSON line, or tables."""
    if as_json:
        say(json.dumps(figures))
    else:
        show(figures)


def show(figures: dict[str, Any]) -> None:
    """Print the figures as tables; means over the seeds, with the standard deviation behind them."""
    settings = figures["settings"]
    say(f"{settings['data']}; {settings['embedder']}; {settings['seeds']} seeds, mean ± standard deviation")
    table(
        ["wanted", "found", "met"],
        [
            [name.replace("_", " "), number(each["found"]), "ok" if each["met"] else "fail"]
            for name, each in figures["wanted"].items()
        ],
        "What is wanted",
    )
    _runs(figures)
    _load(figures)
    table(
        ["after", "windows from the fall of arrivals", "windows from the end of the overload"],
        [[name, *(_spread(each) for each in back.values())] for name, back in figures["back_to_base"].items()],
        "Back to base",
    )


def _runs(figures: dict[str, Any]) -> None:
    rows = []
    for phase in ("overload", "all"):
        for mode, runs in figures["runs"].items():
            found = runs[phase]
            against = figures["against_base"].get(mode, {}).get(phase, {})
            rows.append(
                [
                    phase,
                    mode,
                    *(_spread(found[name]) for name in ("forwards", "hit_pct", "wrong_hits_pct", "stale_hits_pct")),
                    *(_spread(found[name]) for name in ("load_only_hits", "load_only_wrong_pct")),
                    *(_spread(against.get(name)) for name in ("cut_pct", "extra_hits")),
                ]
            )
    columns = "phase|run|forwards|hits %|wrong %|stale %|by load only|wrong of these %|cut %|extra hits".split("|")
    table(columns, rows, "The overloaded model")


def _load(figures: dict[str, Any]) -> None:
    demand = figures["demand_of_capacity"]
    rows = [
        [name, _spread(demand.get(name.partition(",")[0])), *(_spread(each) for each in moved.values())]
        for name, moved in figures["load"].items()
    ]
    table(
        ["phase", "demand / capacity", "changes a minute", "turns a minute", "lowest", "highest"],
        rows,
        "The load that shards are told",
    )


def _spread(figure: dict[str, float | None] | None) -> str:
    if figure is None or figure["mean"] is None:
        return "-"
    return f"{number(figure['mean'])} ± {number(figure['sd'])}"
