"""The watch over logs finds a line that quotes what was sent, and no other."""

from __future__ import annotations

import json
import logging

import pytest

from refrain.streams.kafka.interface import Record
from tests.log_watch import watched_logs

logger = logging.getLogger("refrain.streams.made_up")
TEXT = "what does the patient in room seven have"


@pytest.fixture(autouse=True)
def no_text_in_logs() -> None:
    """These tests log what no other may."""


def record(value: bytes) -> Record:
    return Record("requests", 0, 1, 2, None, value)


@pytest.mark.parametrize(
    "value",
    [
        json.dumps({"body": {"messages": [{"content": TEXT}]}}).encode(),
        json.dumps({"data": json.dumps({"content": TEXT})}).encode(),
        f"{{'content': '{TEXT}'".encode(),
        TEXT.encode(),
        json.dumps(TEXT).encode("utf-16-le"),
    ],
)
def test_a_line_that_quotes_a_record_is_found(value: bytes) -> None:
    with watched_logs() as watch:
        record(value)
        logger.debug("refused: %s", TEXT)
        assert len(watch.leaks()) == 1


def test_lines_that_quote_nothing_are_not_found() -> None:
    with watched_logs() as watch:
        record(json.dumps({"forward_id": "0-7-abc", "model": "gpt", "content": TEXT}).encode())
        logger.warning("requests[0]@7 of 0-7-abc for gpt refused: bad_field")
        assert watch.leaks() == []


def test_an_error_in_a_line_is_told_without_its_message() -> None:
    with watched_logs() as watch:
        record(TEXT.encode())
        try:
            raise ValueError(TEXT)
        except ValueError:
            logger.exception("a batch failed")
        assert watch.leaks() == []
        assert "ValueError" in watch.lines[0]
