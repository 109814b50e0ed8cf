"""Tables read at 80 columns: no heading is broken, and what is too wide stands below."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from refrain.ops.observe.stats_totals import summarise
from refrain.ops.observe.stats_view import DONE, HELD, tables
from refrain.ops.terminal.output import column_groups, folded, rich_tables
from refrain.schemas.documents import Tally
from refrain.schemas.stats import CategoryNow, ShardStats

WIDTH = 80


def drawn(columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    screen = io.StringIO()
    console = Console(file=screen, width=WIDTH, force_terminal=False)
    for part in rich_tables(columns, rows, WIDTH):
        console.print(part)
    return screen.getvalue()


def test_the_tables_of_stats_read_at_80_columns() -> None:
    tally = Tally(asked=123_456, hits=99_999, forwarded=23_457, saved_ms=86_400_000, saved_tokens=9_999_999)
    now = CategoryNow(tally=tally, entries=100_000, room=200_000, threshold=0.9, base_threshold=0.92,
                      ttl_ms=3_600_000, base_ttl_ms=1_800_000)  # fmt: skip
    report = ShardStats(partition=0, time_ms=1, policy_version=1, control=1, entries=1, waiting=0, withdrawing=0,
                        loads={}, categories={"customer-service": now, "-": now})  # fmt: skip
    summary = summarise([report], range(1))
    for seen in ({}, {"customer-service": (12.5, 0.5)}):
        for columns, rows in tables(summary, seen):
            text = drawn(columns, rows)
            assert max(len(line) for line in text.splitlines()) <= WIDTH
            assert not [name for name in columns if name not in text], "headings that are broken"
            assert text.count("customer-service") == text.count(columns[0])
    assert "123456" in drawn(*tables(summary, {})[0])
    assert (DONE[0], HELD[0]) == ("category", "category")


@pytest.mark.parametrize(
    ("least", "width", "groups"),
    [
        ([5, 5, 5], 80, [[0, 1, 2]]),
        ([5, 22, 22], 80, [[0, 1, 2]]),
        ([10, 20, 20, 20, 20], 80, [[0, 1, 2], [0, 3, 4]]),
        ([200], 80, [[0]]),
        ([200, 200, 200], 20, [[0, 1], [0, 2]]),
    ],
)
def test_columns_are_grouped_by_what_fits(least: list[int], width: int, groups: list[list[int]]) -> None:
    assert column_groups(least, width) == groups


@pytest.mark.parametrize(
    ("repeated", "groups"),
    [
        ((0, 1), [[0, 1, 2, 3], [0, 1, 4, 5]]),
        ((1,), [[0, 1, 2, 3], [1, 4, 5]]),
    ],
)
def test_each_part_of_a_table_begins_with_what_tells_whose_line_it_is(
    repeated: tuple[int, ...], groups: list[list[int]]
) -> None:
    assert column_groups([15] * 6, 72, repeated) == groups


def test_no_moment_and_no_id_is_broken() -> None:
    moment = "2026-11-30T10:17:33.396+00:00"
    shown = drawn(("partition", "offset", "time", "policy", "entries", "flights"), [(0, 3, moment, 0, 0, 0)])
    assert moment in shown
    assert max(map(len, shown.splitlines())) <= WIDTH


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("short", "short"),
        ("", ""),
        ("each does when something changed", "each does when\nsomething changed"),
        ("wrote a\n  what goes on stands below", "wrote a\n  what goes on\n  stands below"),
        ("see /a/path/that/is/longer-than-all there", "see\n/a/path/that/is/longer-than-all\nthere"),
        ("--from-file and --from-watermark", "--from-file and\n--from-watermark"),
    ],
)
def test_what_is_said_beside_a_result_is_broken_between_words(text: str, shown: str) -> None:
    assert folded(text, 17) == shown


def test_what_columns_have_no_room_for_stands_below() -> None:
    below = "12:00  miss\n       below_threshold\n       2-0-d0"
    assert folded("12:00  miss   below_threshold  2-0-d0", 20, 7) == below


def test_long_texts_are_folded_within_the_width() -> None:
    text = drawn(("id", "when", "what"), [("1-2", "now", "word " * 60)])
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert text.count("word") == 60
