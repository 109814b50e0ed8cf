"""The pause that servers ask for, in the forms in which they do."""

from __future__ import annotations

import httpx
import pytest

from refrain.streams.retry_after import PAUSE_MAX_S, pause_s

NOW_MS = 1_000_000_000_000
"""Sunday, 9 September 2001, 01:46:40 GMT."""
SOON = "Sun, 09 Sep 2001 01:47:00 GMT"


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({}, 0),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": " 7 "}, 7),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "1."}, 1),
        ({"Retry-After-Ms": "250", "Retry-After": "1"}, 0.25),
        ({"Retry-After-Ms": "soon", "Retry-After": "1"}, 1),
        ({"Retry-After": SOON}, 20),
        ({"Retry-After": "Sunday, 09-Sep-01 01:47:00 GMT"}, 20),
        ({"Retry-After": "Sun Sep  9 01:47:00 2001"}, 20),
        ({"Retry-After": SOON, "Date": "Sun, 09 Sep 2001 01:46:55 GMT"}, 5),
        ({"Retry-After": SOON, "Date": "today"}, 20),
        ({"Retry-After": SOON, "Date": "Sun, 09 Sep 2001 02:00:00 GMT"}, 0),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, PAUSE_MAX_S),
        ({"Retry-After": "Sun, 99 Sep 2001 01:47:00 GMT"}, 0),
        *(({"Retry-After": text}, 0) for text in ("", "-5", "soon", "1e9", "inf", "nan", ".5", ".", "1.2.3", "1 2",
                                                  "9" * 10, "\u0667")),
    ],
)  # fmt: skip
def test_a_pause_is_read_in_every_form(headers: dict[str, str], pause: float) -> None:
    assert pause_s(httpx.Headers(headers, encoding="utf-8"), NOW_MS) == pause
