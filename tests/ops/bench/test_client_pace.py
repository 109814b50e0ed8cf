"""When the client sends, and how long it waits for responses in between."""

from __future__ import annotations

from refrain.ops.ask.client import WAIT_S_MAX, RequestBatch
from refrain.ops.ask.questions import Defaults, request_of

REQUESTS = [request_of("why?", Defaults(model="m"))] * 4


def test_a_rate_spreads_the_requests_over_time() -> None:
    run = RequestBatch(REQUESTS, 1.0, 100.0, 10, None, 5.0)
    assert run.may_send(5.0, 0)
    run.sent = 1
    assert not run.may_send(5.009, 1)
    assert run.wait_s(5.004, 1) - 0.006 < 1e-9
    assert run.may_send(5.011, 1)


def test_after_a_delay_the_rate_is_caught_up_with() -> None:
    run = RequestBatch(REQUESTS, 1.0, 100.0, 10, None, 5.0)
    run.sent = 3
    assert run.may_send(6.0, 3)
    assert run.wait_s(6.0, 3) == 0


def test_no_more_are_sent_than_may_be_open() -> None:
    run = RequestBatch(REQUESTS, 1.0, None, 2, None, 5.0)
    assert run.may_send(5.0, 1)
    assert not run.may_send(5.0, 2)
    assert run.wait_s(5.0, 2) == WAIT_S_MAX


def test_when_all_are_sent_it_waits_for_responses() -> None:
    run = RequestBatch(REQUESTS, 1.0, None, 10, None, 5.0)
    run.sent = len(REQUESTS)
    assert not run.may_send(5.0, 0)
    assert run.wait_s(5.0, 0) == WAIT_S_MAX
