"""The policy in force, read from the compacted topic `policies`."""

from __future__ import annotations

from schemas.control import POLICY_KEY, PolicyInForce
from streams.errors import Refusal, WrongSetup
from streams.log import Log
from streams.reading import read

TOPIC = "policies"


class PolicyWatch:
    """Follows `policies`; each look reads only what came since the last."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._next = 0
        self._end = -1
        self._latest: PolicyInForce | None = None

    def latest(self) -> PolicyInForce | None:
        """The last policy that is committed, None before the first.

        Raises WrongSetup for a missing topic or a record that this version cannot read, LogFailed for the broker.
        """
        _, end = self._log.ends(TOPIC).get(0, (0, 0))
        if end == self._end:
            return self._latest
        for record in self._log.scan(TOPIC, 0, self._next):
            self._next = record.offset + 1
            if record.key == POLICY_KEY:
                self._latest = None if record.value is None else _read(record.value, record.offset)
        self._end = end
        return self._latest


def _read(value: bytes, offset: int) -> PolicyInForce:
    try:
        return read(value, PolicyInForce.decode)
    except Refusal as refusal:
        raise WrongSetup(
            f"the policy at offset {offset} of {TOPIC} cannot be read ({refusal}): upgrade this worker, or set a policy"
        ) from refusal
