"""Page of a what-if: one HTML file with its style and plots in it, which fetches nothing."""

from __future__ import annotations

from html import escape
from pathlib import Path

from refrain.ops.terminal.moments import utc
from refrain.ops.whatif import plots
from refrain.ops.whatif.figures import WHOLE, categories_of, figures_of, prices_of
from refrain.ops.whatif.run import WhatIf
from refrain.schemas.policy import Prices
from refrain.streams.errors import FileUnwritable

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 72rem; color: #1b1f24;
  background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; } figure { flex: 1 1 20rem; max-width: 34rem; margin: 0; }
svg { width: 100%; height: auto; } figcaption { font-size: .85rem; color: #57606a; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #d8dee4; vertical-align: top; }
th:first-child { text-align: left; position: sticky; left: 0; background: #fff; font-weight: 500; }
@media (max-width: 30rem) { body { font-size: 14px; padding: .6rem; } th, td { padding: .2rem .35rem; } }
"""
CAPTIONS = (
    (plots.hits_over_time, "The share of requests that were hits, in each part of the time."),
    (
        plots.saved_against_false,
        "Each point asks another similarity of hits, the lowest at the right: what they save, and how many of them give"
        " another answer than the model gave to the same question. Answers that are not known are left out.",
    ),
    (plots.room_by_category, "Entries that are kept when the time ends."),
)


def write(found: WhatIf, path: Path) -> None:
    """Write the page. Raises WrongSetup without matplotlib, FileUnwritable for a path that cannot be written."""
    text = page(found)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileUnwritable(f"{path} cannot be written: {error.strerror or error}") from error


def page(found: WhatIf) -> str:
    """The page as HTML. Raises WrongSetup without matplotlib."""
    prices = prices_of(found)
    shown = "".join(f"<figure>{draw(found)}<figcaption>{escape(said)}</figcaption></figure>" for draw, said in CAPTIONS)
    tables = "".join(_table(found, category, prices) for category in (WHOLE, *categories_of(found)))
    told = "".join(f"<li>{escape(each)}</li>" for each in found.told)
    span = f"{_moment(found.span.first_ms)} to {_moment(found.span.last_ms)}, {found.survey.records} records"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Refrain: what if</title><style>{STYLE}</style></head><body><h1>What if</h1><p>{escape(span)}</p>"
        f'<div class="plots">{shown}</div>{tables}{f"<h2>To know</h2><ul>{told}</ul>" if told else ""}</body></html>\n'
    )


def _table(found: WhatIf, category: str, prices: dict[str, Prices]) -> str:
    """Figures by policy: a column a policy, so that two fit on a telephone."""
    tallies = (found.recorded, *found.alternatives)
    columns = [figures_of(tally, category, prices) for tally in tallies]
    head = "".join(f"<th>{escape(tally.name)}</th>" for tally in tallies)
    rows = "".join(
        f"<tr><th>{escape(row[0].name)}</th>{''.join(f'<td>{escape(figure.text)}</td>' for figure in row)}</tr>"
        for row in zip(*columns, strict=True)
    )
    title = "All categories" if category == WHOLE else category
    return (
        f'<h2>{escape(title)}</h2><div class="wide"><table><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _moment(ms: int) -> str:
    return utc(ms, "%Y-%m-%d %H:%M UTC")
