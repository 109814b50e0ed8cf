"""Calls of each model in the last minutes, and how many of them failed: what connectors told in `load`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from refrain.ops.observe.findings import Finding
from refrain.ops.terminal import output
from refrain.schemas.load import LoadSample

if TYPE_CHECKING:
    from refrain.streams.kafka.interface import Cluster

LOAD = "load"
WINDOW_MS = 300_000
"""How far back calls are counted."""
FAILING_SHARE = 0.5
"""From this share of failed calls on a model counts as failing."""


class ModelCalls(NamedTuple):
    """The calls of one model that ended in the window, all connectors together."""

    model: str
    calls: int
    failures: int
    last_failure: str | None
    last_failure_at_ms: int | None

    @property
    def is_failing(self) -> bool:
        """Whether at least half of the calls brought no answer."""
        return self.failures > 0 and self.failures >= FAILING_SHARE * self.calls

    def to_json(self) -> dict[str, Any]:
        """For JSON, without the name."""
        fields = self._asdict()
        del fields["model"]
        return {**fields, "window_ms": WINDOW_MS}


def read_calls(cluster: Cluster, now_ms: int) -> dict[str, ModelCalls]:
    """The calls of each model in the last `WINDOW_MS`, by name. Raises WrongSetup or ClusterFailed."""
    samples = (
        _sample(record.value)
        for partition, start in cluster.offsets_at(LOAD, max(0, now_ms - WINDOW_MS)).items()
        for record in cluster.scan(LOAD, partition, start)
    )
    return count_calls(sample for sample in samples if sample is not None)


def count_calls(samples: Iterable[LoadSample]) -> dict[str, ModelCalls]:
    """The samples' calls added up, by model in the order of the names; models without one are left out. Pure."""
    found: dict[str, ModelCalls] = {}
    for sample in samples:
        if not sample.calls:
            continue
        before = found.get(sample.model, ModelCalls(sample.model, 0, 0, None, None))
        now = before._replace(calls=before.calls + sample.calls, failures=before.failures + sample.failures)
        if sample.failures and sample.at_ms >= (before.last_failure_at_ms or 0):
            now = now._replace(last_failure=sample.failure, last_failure_at_ms=sample.at_ms)
        found[sample.model] = now
    return dict(sorted(found.items()))


def findings_of(calls: Mapping[str, ModelCalls]) -> list[Finding]:
    """What the doctor says of the calls: a row for each model with failures, else one for all. Pure."""
    within = output.span(WINDOW_MS)
    rows = [
        Finding("model calls", "fail" if each.is_failing else "warn", f"{failed(each)} in the last {within}",
                "look at the model's server, and at the log of `upstream`")
        for each in calls.values()
        if each.failures
    ]  # fmt: skip
    count = sum(each.calls for each in calls.values())
    return rows or [Finding("model calls", "ok", f"{output.counted(count, 'call')} in the last {within}, none failed")]


def failed(calls: ModelCalls) -> str:
    """How many calls of a model failed, and what came of the last one, in words."""
    why = f", the last: {calls.last_failure}" if calls.last_failure else ""
    return f"{calls.model}: {calls.failures} of {output.counted(calls.calls, 'call')} failed{why}"


def _sample(value: bytes | None) -> LoadSample | None:
    try:
        return LoadSample.decode(value or b"")
    except ValidationError:
        # Of somebody else's connector: `adapt` sets it aside and says why.
        return None
