"""Failed calls of models, as the connector's log tells them: a warning at once, and then one a minute at most."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from refrain.streams.every import Every
from refrain.streams.metrics import LabelValues
from refrain.streams.upstream.model import Answer

WARN_EVERY_S = 60.0
MODELS_MAX = 20
"""Clients name the models: those beyond this are told together, as `other`."""

logger = logging.getLogger(__name__)


def failure_of(answer: Answer) -> str | None:
    """What came in place of an answer, without the server's words, which may quote; None for an answer."""
    if answer.body is not None:
        return None
    return answer.failure or "no reason"


class FailureLog:
    """Counts the calls of each model since the last warning. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._warning = Every(WARN_EVERY_S, clock)
        self._models = LabelValues(MODELS_MAX)
        self._calls: dict[str, int] = {}
        self._failed: dict[str, int] = {}
        self._last: dict[str, str] = {}

    def add(self, model: str, failure: str | None) -> None:
        """Count a finished call; `failure` says what came of one that brought no answer."""
        name = self._models.of(model)
        self._calls[name] = self._calls.get(name, 0) + 1
        if failure is not None:
            self._failed[name] = self._failed.get(name, 0) + 1
            self._last[name] = failure

    def warn(self) -> None:
        """Warn of what failed since the last warning, unless that is less than a minute ago."""
        if not self._failed or not self._warning.is_due():
            return
        told = [f"{name}: {count} of {self._calls[name]} calls failed, the last: {self._last[name]}"
                for name, count in sorted(self._failed.items())]  # fmt: skip
        logger.warning("the model gives no answers (%s)", "; ".join(told))
        self._calls, self._failed, self._last = {}, {}, {}
