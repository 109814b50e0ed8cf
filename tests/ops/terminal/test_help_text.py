"""The prose of a help: the terminal breaks its lines, and examples stand below each other."""

from __future__ import annotations

import pytest

from refrain.ops.terminal.help_text import flowed


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("", ""),
        ("One line.", "One line."),
        ("A sentence that\n    goes on.", "A sentence that goes on."),
        ("One.\n\n    Two goes\n    on.", "One.\n\nTwo goes on."),
        (
            "One.\n\n    [bold]Examples[/bold]\n\n    refrain ask\n\n    refrain run a\n        b\n    ",
            "One.\n\n[bold]Examples[/bold]\nrefrain ask\nrefrain run a b",
        ),
        ("[bold]A[/bold]\n\nx\n\n[bold]B[/bold]\n\ny", "[bold]A[/bold]\nx\n\n[bold]B[/bold]\ny"),
        ("It is [bold]not[/bold] a heading.\n\nTwo.", "It is [bold]not[/bold] a heading.\n\nTwo."),
    ],
)
def test_paragraphs_are_lines_and_under_a_heading_they_stand_below_each_other(written: str, shown: str) -> None:
    assert flowed(written) == shown
