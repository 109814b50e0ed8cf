"""Figures of a what-if: the same for JSON, tables and the page."""

from __future__ import annotations

from typing import Any, NamedTuple

from refrain.ops.terminal import output
from refrain.ops.whatif.run import WhatIf
from refrain.ops.whatif.totals import Bounds, Tally, Totals, Usage
from refrain.schemas.policy import Prices

WHOLE = "all"


class Figure(NamedTuple):
    """One figure as people read it."""

    name: str
    text: str


def prices_of(found: WhatIf) -> dict[str, Prices]:
    """Prices by model, of the policies in their order: the last one that names a price counts, for all of them alike.

    So money differs by what is answered, and not by what a file says of its price.
    """
    policies = [found.recorded.policy, *(tally.policy for tally in found.alternatives)]
    return {
        name: model.prices for policy in policies for name, model in policy.models.items() if model.prices is not None
    }


def categories_of(found: WhatIf) -> list[str]:
    """Every category that something came to under some policy."""
    tallies = (found.recorded, *found.alternatives)
    return sorted({name for tally in tallies for name, each in tally.by_category.items() if each.asked or each.entries})


def totals_of(tally: Tally, category: str) -> Totals:
    """The totals of a category, or of all."""
    return tally.whole() if category == WHOLE else tally.by_category.get(category, Totals())


def to_json(found: WhatIf) -> dict[str, Any]:
    """The whole result as one object."""
    prices = prices_of(found)
    return {
        "from_ms": found.span.first_ms,
        "to_ms": found.span.last_ms,
        "records": found.survey.records,
        "policies": [_tally_json(tally, prices) for tally in (found.recorded, *found.alternatives)],
        "told": found.told,
    }


def figures_of(tally: Tally, category: str, prices: dict[str, Prices]) -> list[Figure]:
    """The figures of a category, or of all, in their order."""
    totals = totals_of(tally, category)
    money = tally.money(prices, None if category == WHOLE else category)
    spent = spent_of(tally, category)
    return [
        Figure("requests", str(totals.asked)),
        Figure("hits", _bounds(totals.hit_bounds())),
        Figure("forwards", _bounds(totals.forward_bounds())),
        Figure("gained", str(totals.gained)),
        Figure("lost", str(totals.lost)),
        Figure("other answers", _bounds(totals.differ_bounds())),
        Figure("judged wrong", _bounds(totals.wrong_bounds())),
        Figure("wrong avoided", str(totals.wrong_avoided)),
        Figure("wrong added", str(totals.wrong_added)),
        Figure("stale", str(totals.stale)),
        Figure("entries", f"{totals.entries} (peak {totals.entries_peak})"),
        Figure("tokens saved", str(totals.saved_tokens)),
        Figure("tokens spent", str(spent.input + spent.output)),
        Figure("money", output.number(money)),
        Figure("time saved", output.span(totals.saved_ms)),
    ]


def spent_of(tally: Tally, category: str) -> Usage:
    """Tokens that models took for answers of a category, or of all."""
    spent = Usage()
    for (of, _), usage in tally.spent.items():
        if category in (WHOLE, of):
            spent = spent.plus(usage)
    return spent


def _bounds(bounds: Bounds) -> str:
    return str(bounds.low) if bounds.low == bounds.high else f"{bounds.low} to {bounds.high}"


def _tally_json(tally: Tally, prices: dict[str, Prices]) -> dict[str, Any]:
    return {
        "name": tally.name,
        WHOLE: _totals_json(tally, WHOLE, prices),
        "categories": {name: _totals_json(tally, name, prices) for name in sorted(tally.by_category)},
        "hits_by_time": tally.hits_by_time,
        "requests_by_time": tally.asked_by_time,
        "entries_by_time": tally.entries_by_time,
    }


def _totals_json(tally: Tally, category: str, prices: dict[str, Prices]) -> dict[str, Any]:
    totals, spent = totals_of(tally, category), spent_of(tally, category)
    money = tally.money(prices, None if category == WHOLE else category)
    return {
        "requests": totals.asked,
        "hits": totals.hits,
        "hits_bounds": totals.hit_bounds(),
        "forwards": totals.forwards,
        "forwards_bounds": totals.forward_bounds(),
        "coalesced": totals.coalesced,
        "passed": totals.passed,
        "errors": totals.errors,
        "gained": totals.gained,
        "lost": totals.lost,
        "other_answers_bounds": totals.differ_bounds(),
        "judged_wrong": totals.wrong,
        "judged_wrong_bounds": totals.wrong_bounds(),
        "wrong_avoided": totals.wrong_avoided,
        "wrong_added": totals.wrong_added,
        "stale": totals.stale,
        "entries": totals.entries,
        "entries_peak": totals.entries_peak,
        "saved_ms": totals.saved_ms,
        "saved_tokens": totals.saved_tokens,
        "spent_tokens": spent._asdict(),
        "money": None if money is None else round(money, 6),
    }
