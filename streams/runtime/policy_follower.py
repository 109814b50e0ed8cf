"""The policy in force: read from the compacted topic `policies`, leased, and followed on a background thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from refrain.schemas.control import POLICY_KEY, PolicyInForce
from refrain.streams.errors import ClusterFailed, Refusal, RefusalCode, Unanswered, WrongSetup
from refrain.streams.kafka.interface import Cluster, Record
from refrain.streams.kafka.outages import Outages, asked_once, pauses
from refrain.streams.messaging.decoding import check_size, read
from refrain.streams.metrics import Metrics, policy_version
from refrain.streams.settings import Settings

logger = logging.getLogger(__name__)

TOPIC = "policies"
LOOKS = 4
"""How often a follower looks for a newer policy within a lease: each look asks the broker."""
LEASE_S = 2.0
"""The lease: how long a policy may be acted by after it was last seen in force. Less than the session of a consumer
group: a member that stood still for longer has been taken for dead, and nobody waits for it to acknowledge a newer
policy."""
READ_S_MAX = 20.0
"""How long one read may take; longer than a transaction of govern may stay open."""


def lease_s_of(settings: Settings) -> float:
    """The lease in a cluster of these settings (seconds): at most a quarter of a session."""
    return min(LEASE_S, settings.session_timeout_ms / 4_000)


def delivery_timeout_ms_of(settings: Settings) -> int:
    """The delivery timeout of records made by a leased policy (milliseconds).

    Lease and this, and the second that librdkafka may take to notice, end before a session whose member stands still.
    """
    return settings.session_timeout_ms * 2 // 5


class PolicyWatch:
    """Reads `policies`; each call of `latest` reads only what came since the last one, or all of a topic made anew.

    A record that cannot be read leaves the policy before it in use, but one of a newer version asks for an upgrade.
    `unreadable` is told of each in place of that.
    """

    def __init__(self, cluster: Cluster, unreadable: Callable[[Record, Refusal], None] | None = None) -> None:
        self._cluster = cluster
        self._unreadable = unreadable or _upgrade_or_keep
        self._topic_id = ""
        self._next = 0
        self._end = -1
        self._latest: PolicyInForce | None = None

    def latest(self, stop: Callable[[], bool] = lambda: False) -> PolicyInForce | None:
        """The latest committed policy, None before the first.

        Raises WrongSetup for a missing topic or a record of a newer version, Unanswered for the broker or
        when `stop` ended the look early.
        """
        end = self._cluster.end(TOPIC, 0)
        if end == self._end:
            # A scan would open a consumer to find nothing but the marker of govern's transaction.
            return self._latest
        topic_id = self._cluster.topic_id(TOPIC)
        if topic_id != self._topic_id:
            # Nothing of the topic that was there before is in force.
            self._topic_id, self._next, self._latest = topic_id, 0, None
        for record in self._cluster.scan(TOPIC, 0, self._next, stop=stop):
            self._take(record)
            self._next = record.offset + 1
        if stop():
            raise Unanswered(f"topic {TOPIC} was not read to its end: is the broker reachable?")
        self._end = end
        return self._latest

    def _take(self, record: Record) -> None:
        if record.key != POLICY_KEY:
            return
        try:
            check_size(record)
            self._latest = None if record.value is None else read(record.value, PolicyInForce.decode)
        except Refusal as refusal:
            self._unreadable(record, refusal)


class LeasedPolicy(NamedTuple):
    """A policy seen in force, and the end of its lease (seconds of the follower's clock)."""

    policy: PolicyInForce | None
    until_s: float


class PolicyFollower:
    """Follows the policy in force. Use it as a context: read on entry, followed until exit.

    It looks for a newer one every `interval_s` (seconds; None: several times in a lease).
    `clock` gives seconds, never runs backwards, and goes on while the process is stopped. `outages` hears when the
    policy cannot be read.
    """

    def __init__(
        self,
        cluster: Cluster,
        metrics: Metrics,
        processor: str,
        *,
        interval_s: float | None = None,
        lease_s: float = LEASE_S,
        clock: Callable[[], float] = time.monotonic,
        outages: Outages | None = None,
    ) -> None:
        # Whoever needs the policy decides how long to wait for it.
        self._watch = PolicyWatch(asked_once(cluster), keeping_last(metrics, processor))
        self._outages = outages or Outages()
        self._version = policy_version(metrics)
        self._interval_s = lease_s / LOOKS if interval_s is None else interval_s
        self._lease_s = lease_s
        self._clock = clock
        self._last = LeasedPolicy(None, clock())
        self._reading = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="policies", daemon=True)

    @property
    def last(self) -> LeasedPolicy:
        """The policy that was seen last, whether or not its lease still runs."""
        return self._last

    def leased(self) -> LeasedPolicy:
        """The policy in force, read again when its lease is over; None in it: everything bypasses the cache.

        Raises as `read` does.
        """
        last = self._last
        return last if self.lease_runs(last) else self._read_if(lambda: not self.lease_runs(self._last))

    def lease_runs(self, leased: LeasedPolicy) -> bool:
        """Whether the lease of a policy still runs: it may be acted by without another read."""
        return self._clock() < leased.until_s

    def read(self) -> LeasedPolicy:
        """Read the policy now. Raises WrongSetup for a missing topic, Unanswered when the broker does not answer."""
        return self._read_if(lambda: True)

    def __enter__(self) -> PolicyFollower:
        self._outages.ask_again("the policy in force", self.read)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _read_if(self, needed: Callable[[], bool]) -> LeasedPolicy:
        with self._reading:
            if needed():
                started = self._clock()
                policy = self._watch.latest(lambda: self._done.is_set() or self._clock() > started + READ_S_MAX)
                self._log_change(policy)
                self._last = LeasedPolicy(policy, started + self._lease_s)
            return self._last

    def _follow(self) -> None:
        pause_s, longer = self._interval_s, pauses()
        with self._outages.waiting(f"following {TOPIC}") as wait:
            while not self._done.wait(pause_s):
                try:
                    self.read()
                    wait.answered()
                    pause_s, longer = self._interval_s, pauses()
                except ClusterFailed as problem:
                    if not self._done.is_set():
                        wait.failed(problem)
                    pause_s = max(self._interval_s, next(longer))

    def _log_change(self, policy: PolicyInForce | None) -> None:
        if policy is not None and policy is not self._last.policy:
            self._version.set(policy.version)
            logger.info("policy version %d is in use", policy.version)


def keeping_last(metrics: Metrics, processor: str) -> Callable[[Record, Refusal], None]:
    """What a processor does with a record that is no policy, or one of a newer version: the one before it stays."""

    def keep(record: Record, refusal: Refusal) -> None:
        metrics.refused.labels(processor, refusal.code.value).inc()
        logger.error(
            "the policy at %s offset %d cannot be read (%s): the one before it stays in use; upgrade this worker, or"
            " apply a policy that it knows with `refrain policies apply`",
            TOPIC, record.offset, refusal,
        )  # fmt: skip

    return keep


def _upgrade_or_keep(record: Record, refusal: Refusal) -> None:
    if refusal.code is RefusalCode.UNKNOWN_VERSION:
        raise WrongSetup(
            f"the policy at offset {record.offset} of {TOPIC} cannot be read ({refusal}): upgrade this worker, or set a"
            " policy"
        ) from refusal
    logger.error(
        "the record at %s offset %d is no policy (%s): the one before it stays in use; apply one with"
        " `refrain policies apply`",
        TOPIC, record.offset, refusal,
    )  # fmt: skip
