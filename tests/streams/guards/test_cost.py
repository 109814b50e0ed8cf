"""What reading and comparing cost, in steps of the interpreter: they are the same on every machine.

Steps within a regular expression do not show. There every pattern reads a text once, but for runs of characters that
may be an address or a path: those are read once a token, and both lengths are bounded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from refrain.schemas.policy import Guard
from refrain.streams.guards import GuardTerms, weigh
from refrain.streams.guards.content_words import Content
from refrain.streams.guards.names import Names
from refrain.streams.guards.negation import Negations
from refrain.streams.guards.once import Once
from refrain.streams.guards.reading import Reading, parse

SHORT, TIMES = 60, 4
GROWTH_MAX = 1.5 * TIMES
READ_STEPS_MAX = 11_000
WEIGH_STEPS_MAX = 5_500
SHAPES = [
    "v1.",
    "a",
    "(",
    "1",
    " ",
    '"',
    "n't ",
    ":",
    "`",
    "\n",
    "a ",
    "more ",
    "two ",
    "a-",
    "-1",
    "x@y.z ",
    "a/b ",
    "'a'",
]


PARTS = {
    kind: [name for name, part in vars(kind).items() if isinstance(part, Once)]
    for kind in (Reading, Names, Content, Negations)
}
"""What is read when it is asked for, by what it is a part of."""


def read(text: str) -> Reading:
    """The reading of a text with every part that some guard may ask for."""
    reading = parse(text)
    for part in (reading, reading.names, reading.names.content, reading.negations):
        for name in PARTS[type(part)]:
            getattr(part, name)
    return reading


def steps(do: Callable[[], object]) -> int:
    """Steps (opcodes) that something takes."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        do()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("shape", SHAPES)
def test_reading_takes_steps_in_proportion_to_the_length(shape: str) -> None:
    short, long = shape * SHORT, shape * SHORT * TIMES
    read(short), read(long)  # words that are new cost more
    assert steps(lambda: read(long)) <= GROWTH_MAX * steps(lambda: read(short))


def test_words_that_were_read_before_make_a_text_cheap() -> None:
    first, second = "Wherefrom do quokkas somersault?", "Do quokkas somersault? Wherefrom"
    new = steps(lambda: read(first))
    assert steps(lambda: read(second)) < 0.8 * new


def test_a_question_of_a_dozen_words_is_read_and_compared_within_a_budget() -> None:
    a = "What is the best way to learn a new language in six months?"
    b = "How can I best learn another language within half a year?"
    readings = read(a), read(b)
    weigh(GuardTerms(), *readings)  # what is made once a process is no cost of a comparison
    assert steps(lambda: read(a)) < READ_STEPS_MAX
    assert steps(lambda: weigh(GuardTerms(), *readings)) < WEIGH_STEPS_MAX
    assert len(weigh(GuardTerms(), *readings).verdicts) == len(GuardTerms().guards)


def test_of_texts_that_the_first_guard_refuses_nothing_is_read_for_the_others() -> None:
    a, b = "What does a ticket for 2 cost?", "What does a ticket for 3 cost?"
    weigh(GuardTerms(), parse(a), parse(b))  # words that are new cost more
    readings = parse(a), parse(b)
    assert weigh(GuardTerms(), *readings).refused is Guard.NUMBERS
    refused = steps(lambda: weigh(GuardTerms(), parse(a), parse(b)))
    assert refused < 0.6 * steps(lambda: weigh(GuardTerms(), read(a), read(b)))
