"""Page of an explanation: one HTML file with its own styles, which loads nothing and runs nothing."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, StrictUndefined

from refrain.ops.explain.sheet import Sheet
from refrain.streams.errors import FileUnwritable

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<title>{{ sheet.title }}</title>
<style>
:root { color-scheme: light dark; --ink: #1c2024; --dim: #5c6670; --line: #d6dbe0; --ground: #fff; --soft: #f3f5f7; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --dim: #9aa5af; --line: #3a424a; --ground: #15181b; --soft: #1f2428; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.15rem; overflow-wrap: anywhere; margin: 0; color: var(--dim); font-weight: 600; }
h2 { font-size: 1rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); padding-bottom: .25rem; }
.said { font-size: 1.35rem; line-height: 1.35; margin: .5rem 0; overflow-wrap: anywhere; }
.remedy { border-left: 4px solid var(--line); padding: .25rem .75rem; background: var(--soft); }
dl { display: grid; grid-template-columns: minmax(7rem, 12rem) 1fr; gap: .25rem 1rem; margin: 0; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 500; white-space: nowrap; }
pre { background: var(--soft); padding: .75rem; overflow-x: auto; font-size: .85rem; border-radius: 4px; }
p.note { color: var(--dim); margin: .35rem 0; overflow-wrap: anywhere; }
@media (max-width: 640px) {
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; }
  thead { display: none; } tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line); }
  td { display: flex; gap: 1rem; border: 0; padding: .1rem 0; overflow-wrap: anywhere; min-width: 0; }
  td.none { display: none; }
  td::before { content: attr(data-name); color: var(--dim); flex: 0 0 6rem; }
}
</style>
</head>
<body>
<main>
<h1>{{ sheet.title }}</h1>
<p class="said">{{ sheet.sentence }}</p>
{% if sheet.remedy %}<p class="remedy">It takes: {{ sheet.remedy }}</p>{% endif %}
{% for section in sheet.sections %}
<section>
<h2>{{ section.heading }}</h2>
{% if section.rows %}<dl>
{% for row in section.rows %}<dt>{{ row.name }}</dt><dd>{{ row.value }}</dd>
{% endfor %}</dl>{% endif %}
{% if section.table %}<div class="wide"><table>
<thead><tr>{% for column in section.columns %}<th scope="col">{{ column }}</th>{% endfor %}</tr></thead>
<tbody>
{% for line in section.table %}<tr>\
{% for cell in line %}<td data-name="{{ section.columns[loop.index0] }}"{{ ' class=none' if cell in ('', '-') }}>\
<span>{{ cell }}</span></td>{% endfor %}</tr>
{% endfor %}</tbody>
</table></div>{% endif %}
{% if section.lines %}<pre>{{ section.lines }}</pre>{% endif %}
{% for note in section.notes %}<p class="note">{{ note }}</p>{% endfor %}
</section>
{% endfor %}
</main>
</body>
</html>
"""


def page(sheet: Sheet) -> str:
    """The page of a sheet. Whatever stands in the sheet is text: nothing of it is taken for HTML."""
    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return made.from_string(TEMPLATE).render(sheet=sheet)


def write_page(sheet: Sheet, path: Path) -> None:
    """Write the page. Raises FileUnwritable for a path that cannot be written."""
    try:
        path.write_text(page(sheet), encoding="utf-8", errors="replace")
    except OSError as error:
        raise FileUnwritable(f"{path} cannot be written: {error.strerror or error}") from error
