"""Shows a sheet to people: headings, aligned rows and tables on a terminal, plain lines elsewhere."""

from __future__ import annotations

from refrain.ops.explain.sheet import Section, Sheet
from refrain.ops.terminal import output


def show(sheet: Sheet) -> None:
    """Print a sheet."""
    from rich.text import Text

    console = output.console()
    whole = not console.is_terminal
    console.print(Text(sheet.title, style="dim"))
    console.print(Text(sheet.sentence, style="bold"), soft_wrap=whole)
    if sheet.remedy:
        console.print(Text(f"It takes: {sheet.remedy}", style="cyan"), soft_wrap=whole)
    for section in sheet.sections:
        console.print()
        console.print(Text(section.heading, style="bold underline"))
        _show(section)


def _show(section: Section) -> None:
    from rich.text import Text

    console = output.console()
    width = max((len(row.name) for row in section.rows), default=0)
    for row in section.rows:
        console.print(Text.assemble((row.name.ljust(width) + "  ", "dim"), row.value))
    if section.table:
        output.table(section.columns, section.table)
    if section.lines:
        console.print(Text(section.lines.rstrip()))
    for note in section.notes:
        console.print(Text(note, style="dim"), soft_wrap=not console.is_terminal)
