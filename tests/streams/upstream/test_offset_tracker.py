"""A restart goes on from the oldest open call, and skips what was done after it."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from refrain.streams.kafka.interface import OffsetAndMetadata
from refrain.streams.upstream.offset_tracker import METADATA_CHARS_MAX, SPAN_MAX, PartitionOffsets, decode_bitmap

Steps = list[tuple[bool, int]]
STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 1_000)), max_size=200)


def play(offsets: PartitionOffsets, start: int, steps: Steps) -> set[int]:
    """Take the next offset (after a gap now and then), or finish an open one; returns what is open."""
    still_open: list[int] = list(offsets.open)
    following = start
    for takes, number in steps:
        if takes:
            following += 1 + (number % 7 == 0)
            if offsets.take(following):
                still_open.append(following)
        elif still_open:
            offsets.done(still_open.pop(number % len(still_open)))
    return set(still_open)


def taken_again(committed: OffsetAndMetadata, end: int) -> set[int]:
    after = PartitionOffsets(committed)
    return {offset for offset in range(committed.next_offset, end) if after.take(offset)}


@given(STEPS)
def test_a_restart_calls_what_was_open_and_nothing_else(steps: Steps) -> None:
    offsets = PartitionOffsets(OffsetAndMetadata(0))
    still_open = play(offsets, 0, steps)
    committed = offsets.to_commit()
    assert set(offsets.open) == still_open
    assert committed.next_offset == min(still_open, default=committed.next_offset)
    end = committed.next_offset + offsets.span
    assert taken_again(committed, end) == still_open


@given(STEPS, STEPS)
def test_a_restart_that_read_only_part_of_it_loses_nothing(first: Steps, second: Steps) -> None:
    before = PartitionOffsets(OffsetAndMetadata(0))
    still_open = play(before, 0, first)
    end = before.to_commit().next_offset + before.span
    half = PartitionOffsets(before.to_commit())
    reopened: set[int] = set()
    for offset in range(before.to_commit().next_offset, end):
        if len(reopened) >= len(second) % 5:
            break
        if half.take(offset):
            reopened.add(offset)
    for offset in list(reopened)[::2]:
        half.done(offset)
        still_open.discard(offset)
    assert taken_again(half.to_commit(), end) == still_open


def test_the_bitmap_of_the_longest_span_fits_whatever_is_open() -> None:
    draw = random.Random(5)
    offsets = PartitionOffsets(OffsetAndMetadata(1_000_000))
    for offset in range(1_000_000, 1_000_000 + SPAN_MAX + 1_000):
        offsets.take(offset)
    for offset in range(1_000_001, 1_000_000 + SPAN_MAX + 1_000):
        if draw.random() < 0.5:
            offsets.done(offset)
    committed = offsets.to_commit()
    assert len(committed.metadata) <= METADATA_CHARS_MAX
    assert taken_again(committed, 1_000_000 + SPAN_MAX + 1_000) == set(offsets.open)


def test_a_bitmap_that_does_not_fit_leaves_its_end_out() -> None:
    draw = random.Random(5)
    offsets = PartitionOffsets(OffsetAndMetadata(0))
    for offset in range(5 * SPAN_MAX):
        offsets.take(offset)
    for offset in range(1, 5 * SPAN_MAX):
        if draw.random() < 0.5:
            offsets.done(offset)
    committed = offsets.to_commit()
    assert 0 < len(committed.metadata) <= METADATA_CHARS_MAX
    again = taken_again(committed, 5 * SPAN_MAX)
    assert again >= set(offsets.open)
    assert len(again) < 5 * SPAN_MAX


def test_what_was_cut_from_the_topic_is_forgotten() -> None:
    before = PartitionOffsets(OffsetAndMetadata(0))
    for offset in range(10):
        before.take(offset)
    for offset in range(1, 9):
        before.done(offset)
    after = PartitionOffsets(before.to_commit())
    assert after.take(50)
    after.done(50)
    assert after.to_commit() == OffsetAndMetadata(51, "")


def test_an_offset_without_open_calls_needs_no_metadata() -> None:
    offsets = PartitionOffsets(OffsetAndMetadata(4))
    assert offsets.take(4)
    offsets.done(4)
    assert offsets.to_commit() == OffsetAndMetadata(5, "")


@given(st.text(max_size=50))
def test_metadata_of_others_is_no_bitmap(text: str) -> None:
    assert decode_bitmap(OffsetAndMetadata(3, text)) == set()
    assert decode_bitmap(OffsetAndMetadata(3, "1:" + text)) == set()


def test_a_position_past_the_end_is_given_up_for_what_is_read() -> None:
    offsets = PartitionOffsets(OffsetAndMetadata(1_000))
    for offset in range(3):
        assert offsets.take(offset)
    assert offsets.to_commit().next_offset == 0
    for offset in range(3):
        offsets.done(offset)
    assert offsets.to_commit() == OffsetAndMetadata(3, "")
