"""One line an event, and nobody's words in it."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from refrain.ops.run.logs import OneLine, error_line, trail
from refrain.schemas.requests import Request
from refrain.streams.errors import WrongSetup


@pytest.fixture
def heard() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(OneLine("lookup"))
    logger = logging.getLogger("test-one-line")
    logger.propagate = False
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


def test_an_event_is_one_line_with_time_level_and_worker(heard: io.StringIO) -> None:
    logging.getLogger("test-one-line").warning("two\nlines")
    (line,) = heard.getvalue().splitlines()
    stamp, rest = line.split(" ", 1)
    assert stamp.endswith("Z")
    assert rest == "WARNING lookup two | lines"


def test_an_error_that_quotes_a_question_is_told_without_the_quote(heard: io.StringIO) -> None:
    with pytest.raises(ValidationError) as caught:
        Request.decode('{"v": 1, "tenant": "my secret question"}')
    error = caught.value
    logging.getLogger("test-one-line").error("cannot read it", exc_info=error)
    assert "my secret question" not in error_line(error) + trail(error)
    assert "my secret question" not in heard.getvalue()
    assert "ValidationError" in heard.getvalue()


def test_refrains_own_errors_are_told_in_full() -> None:
    assert error_line(WrongSetup("topic x does not exist")) == "WrongSetup: topic x does not exist"
