"""How processors know the policy in force: they follow the topic `policies` beside their own work."""

from __future__ import annotations

import logging
import threading

from schemas.control import POLICY_KEY, PolicyInForce
from streams.errors import LogFailed, Refusal
from streams.log import Log, Record
from streams.metrics import Metrics
from streams.reading import read

logger = logging.getLogger(__name__)

TOPIC = "policies"
INTERVAL_S = 0.1
"""How often the topic is looked at for a newer policy."""


class PolicyFollower:
    """The last readable policy of the topic. Use it as a context: read to the end on entry, followed until exit."""

    def __init__(self, log: Log, metrics: Metrics, processor: str, *, interval_s: float = INTERVAL_S) -> None:
        self._log = log
        self._metrics = metrics
        self._processor = processor
        self._interval_s = interval_s
        self._next = 0
        self._end = -1
        self._current: PolicyInForce | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="policies", daemon=True)

    @property
    def current(self) -> PolicyInForce | None:
        """The policy in force, None when none is known: then everything passes through."""
        return self._current

    def __enter__(self) -> PolicyFollower:
        self.read()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def read(self) -> None:
        """Take what is in the topic and was not read before. Raises WrongSetup or LogFailed."""
        _, end = self._log.ends(TOPIC)[0]
        if end == self._end:
            # A scan would open a consumer to find nothing but the marker of govern's transaction.
            return
        for record in self._log.scan(TOPIC, 0, self._next, stop=self._done.is_set):
            self._next = record.offset + 1
            self._take(record)
        self._end = end

    def _follow(self) -> None:
        failing = False
        while not self._done.wait(self._interval_s):
            try:
                self.read()
                failing = False
            except LogFailed as problem:
                if not failing:
                    logger.warning("cannot follow %s, the last policy stays in use: %s", TOPIC, problem)
                failing = True

    def _take(self, record: Record) -> None:
        if record.key != POLICY_KEY or record.value is None:
            return
        try:
            self._current = read(record.value, PolicyInForce.decode)
        except Refusal as refusal:
            self._metrics.refused.labels(self._processor, refusal.code.value).inc()
            logger.error(
                "the policy at %s offset %d cannot be read (%s): version %s stays in use; upgrade this worker, or apply"
                " a policy that it knows with `refrain policies apply`",
                TOPIC, record.offset, refusal, self._current.version if self._current else "none",
            )  # fmt: skip
            return
        self._metrics.policy_version.set(self._current.version)
        logger.info("policy version %d is in use", self._current.version)
