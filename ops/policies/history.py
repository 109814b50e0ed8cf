"""History of policies, rebuilt from `control`: its commands, accepted or refused by the rule of `govern`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from refrain.schemas.control import PolicyInForce, SetPolicy, decode_command
from refrain.streams.errors import BadInput, Refusal, RefusalCode, WrongValue
from refrain.streams.govern.commands import put_in_force
from refrain.streams.kafka.interface import Cluster, Record
from refrain.streams.messaging.decoding import read

CONTROL = "control"
SIGN = b'"PolicySet"'
ESCAPE = b"\\u"
"""Bytes of which one is in every command to set a policy: most of `control` is reports of load, not worth reading."""


class History(NamedTuple):
    """History: the policies that were in force, oldest first."""

    policies: tuple[PolicyInForce, ...]
    begins: int
    """The offset at which `control` begins: what was in force before it is not known when it is above 0."""

    def version(self, number: int) -> PolicyInForce:
        """The policy of that version. Raises WrongValue naming those there are."""
        for each in self.policies:
            if each.version == number:
                return each
        known = ", ".join(str(each.version) for each in self.policies[-10:]) or "none"
        older = f"; `control` begins at offset {self.begins}, what is older is gone" if self.begins else ""
        raise WrongValue(f"no policy of version {number} was ever in force; the last are {known}{older}", "VERSION")

    def before(self, version: int) -> PolicyInForce:
        """The policy that `version` replaced. Raises BadInput when none is known."""
        earlier = [each for each in self.policies if each.version < version]
        if not earlier:
            raise BadInput(f"no policy before version {version} is known: name one of `refrain policies history`")
        return earlier[-1]


def fold(records: Iterable[Record], begins: int = 0) -> History:
    """Fold the records of `control` into the history, from the first retained one, at offset `begins`. Pure.

    A command that replaced what is not known here is believed: its sender had seen that version in force. Offsets that
    nothing stands at are of a `control` before this one.
    """
    unknown, following = begins, begins
    current: PolicyInForce | None = None
    policies: list[PolicyInForce] = []
    unreadable: set[int] = set()
    for record in records:
        unknown = record.offset if record.offset > following else unknown
        following = record.offset + 1
        if SIGN not in (record.value or b"") and ESCAPE not in (record.value or b""):
            continue
        try:
            command = read(record.value, decode_command)
            if not isinstance(command, SetPolicy):
                continue
            expected, known = command.expected_version, -1 if current is None else current.version
            if expected is not None and expected > known and (expected < unknown or expected in unreadable):
                command = command.model_copy(update={"expected_version": None})
            current = put_in_force(record, command, current)
        except Refusal as refusal:
            if refusal.code is not RefusalCode.STALE_COMMAND:
                unreadable.add(record.offset)
            continue
        policies.append(current)
    return History(tuple(policies), begins)


def read_history(cluster: Cluster) -> History:
    """Read the history from the cluster, with a bar on a terminal. Raises WrongSetup or ClusterFailed."""
    from refrain.ops.cluster.scan import records

    begins = cluster.ends(CONTROL)[0][0]
    return fold(records(cluster, CONTROL, "reading control"), begins)
