"""Report of a what-if on a terminal."""

from __future__ import annotations

from refrain.ops.terminal import output
from refrain.ops.whatif.figures import WHOLE, categories_of, figures_of, prices_of
from refrain.ops.whatif.run import WhatIf
from refrain.ops.whatif.totals import Tally


def show(found: WhatIf) -> None:
    """Print a table, by category and policy, and what must be known to read it."""
    prices = prices_of(found)
    tallies = (found.recorded, *found.alternatives)
    names = [figure.name for figure in figures_of(found.recorded, WHOLE, prices)]
    rows: list[list[str]] = []
    for category in (WHOLE, *categories_of(found)):
        for tally in tallies:
            rows.append([category, tally.name, *(figure.text for figure in figures_of(tally, category, prices))])
    output.table(["category", "policy", *names], rows, repeated=(0, 1))
    for said in found.told:
        output.tell(said)
    if not prices and any(tally.spent for tally in tallies):
        output.hint("money is told where the policy gives models `prices`")


def best_sentence(mine: Tally, best: Tally | None) -> str:
    """What comes of the best single policy beside that of categories."""
    if best is None:
        return "no single policy serves as few wrong answers as the one in force, of those that were tried"
    ours, theirs = mine.whole(), best.whole()
    said = "more" if ours.saved_ms >= theirs.saved_ms else "less"
    difference = output.span(abs(ours.saved_ms - theirs.saved_ms))
    return (
        f"by categories {ours.hits} hits save {output.span(ours.saved_ms)} of models' time, {difference} {said} than"
        f" the best single policy that serves no more wrong answers ({best.name}: {theirs.hits} hits,"
        f" {output.span(theirs.saved_ms)}; judged wrong {ours.wrong} and {theirs.wrong})"
    )
