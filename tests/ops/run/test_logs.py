"""One line an event, and nobody's words in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
from pydantic import ValidationError

from refrain.ops.cli import main
from refrain.ops.run.logs import FIELDS, LINES_MAX, OneLine, RepeatLimit, error_line, set_up, trail
from refrain.schemas.requests import Request
from refrain.streams.errors import Refusal, RefusalCode, WrongSetup
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.dead_letters import note
from refrain.streams.messaging.parsing import request_of
from refrain.streams.messaging.validation import refused_fields
from refrain.streams.metrics import Metrics


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


def lines_of(form: str, say: Callable[[logging.Logger], None]) -> list[str]:
    """The lines that a worker's log gets."""
    stream = io.StringIO()
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    level = root.level
    try:
        set_up("classify", "INFO", stream, form)
        say(logging.getLogger("refrain.test"))
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.captureWarnings(False)
    return stream.getvalue().splitlines()


def test_as_json_an_event_is_an_object_with_what_it_tells_apart() -> None:
    def say(log: logging.Logger) -> None:
        log.warning("two\nlines of %d", 3, extra={"fields": {"code": "bad_field", "offset": 7}})

    (line,) = lines_of("json", say)
    told = json.loads(line)
    assert told.pop("time").endswith("Z")
    assert told == {
        "level": "WARNING", "worker": "classify", "logger": "refrain.test", "message": "two | lines of 3",
        "code": "bad_field", "offset": 7,
    }  # fmt: skip
    (plain,) = lines_of("text", say)
    assert plain.endswith("WARNING classify two | lines of 3")


def test_lines_of_one_kind_are_limited_and_counted() -> None:
    def say(log: logging.Logger) -> None:
        for number in range(LINES_MAX + 30):
            log.warning("record %d refused", number)
        log.warning("something else")

    lines = lines_of("text", say)
    assert len(lines) == LINES_MAX + 2
    assert "record 20 refused (more like it within 60 s are counted" in lines[LINES_MAX]
    assert lines[-1].endswith("something else")


def test_the_next_window_says_how_many_were_left_out() -> None:
    now_s = 0.0
    limit = RepeatLimit(most=2, window_s=60.0, clock=lambda: now_s)

    def event() -> logging.LogRecord:
        return logging.LogRecord("refrain.x", logging.WARNING, "f", 1, "seen %d", (7,), None)

    written = [limit.filter(event()) for _ in range(10)]
    assert written == [True, True, True, *[False] * 7]
    now_s = 61.0
    last = event()
    assert limit.filter(last)
    assert last.getMessage() == "seen 7 (and 7 more like it before)"
    critical = logging.LogRecord("refrain.x", logging.CRITICAL, "f", 1, "end", (), None)
    assert all(limit.filter(critical) for _ in range(50))


def test_the_log_names_the_field_that_was_refused_and_no_value(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Refusal) as caught:
        request_of({"v": 1, "tenant": "my secret question", "body": 7})
    record = Record("requests", 2, 9, 1, None, b"{}")
    with caplog.at_level(logging.WARNING):
        note(record, caught.value, "classify", Metrics())
    assert caplog.messages == ["requests[2]@9 refused: bad_field (tenant, body)"]
    assert getattr(caplog.records[0], FIELDS)["refused_fields"] == ["tenant", "body"]
    assert refused_fields(Refusal(RefusalCode.UNREADABLE, "tenant: x")) == []
    assert refused_fields(Refusal(RefusalCode.BAD_FIELD, "a text holds half of a pair: send whole ones")) == []


def test_a_format_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "lookup", "--log-format", "jsn"]) == 2
    assert "'json'?" in capsys.readouterr().err
