"""What the doctor says of the keys of routes."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from refrain.ops.observe.findings import Finding
from refrain.ops.observe.route_keys import WorkerKeys, compared, here, signing_key, told_keys
from refrain.schemas.forwards import Forward
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.key_file import MADE, route_keys
from refrain.streams.messaging.routes import ShardRoute, encode_route
from refrain.streams.runtime.policy_session import acknowledgement
from refrain.streams.settings import Routes, Settings
from tests.streams.signed import KEY, ROUTES, signed_route

OLD, NEW = "0000000a", "0000000b"


def told(processor: str, worker: str, *keys: str) -> Record:
    value = acknowledgement(processor, worker, 1, 2, keys).value
    return Record("acknowledgements", 0, 0, 1, None, value)


def states(findings: list[Finding]) -> list[str]:
    assert all(finding.check == "routes" for finding in findings)
    return [finding.state for finding in findings]


def test_keys_that_all_share_are_fine() -> None:
    workers = [WorkerKeys("classify", (NEW, OLD)), WorkerKeys("populate", (OLD, NEW)), WorkerKeys("populate", (NEW,))]
    assert states(compared(workers, {NEW: 3})) == ["ok"]


@pytest.mark.parametrize(
    ("signers", "seen"), [([WorkerKeys("classify", (NEW, OLD))], {}), ([], {NEW: 1})], ids=["told", "seen"]
)
def test_a_key_that_a_populate_worker_lacks_is_named(signers: list[WorkerKeys], seen: dict[str, int]) -> None:
    workers = [*signers, WorkerKeys("populate", (OLD,)), WorkerKeys("populate", (OLD, NEW))]
    (finding,) = compared(workers, seen)
    assert finding.state == "fail"
    assert f"key {NEW}, which 1 of 2 populate workers lack" in finding.seen
    assert "routes.keys_file" in finding.do


def test_nothing_is_said_of_keys_that_nobody_told() -> None:
    assert states(compared([], {NEW: 1})) == ["ok"]
    assert states(compared([WorkerKeys("populate", (OLD,))], {})) == ["ok"]


def test_forwards_without_a_signature_are_counted() -> None:
    assert states(compared([WorkerKeys("populate", (NEW,))], {NEW: 1, "": 2})) == ["warn"]


def test_what_present_members_told_last_counts() -> None:
    records = [
        told("populate", "gone", OLD),
        told("populate", "a", OLD),
        told("populate", "a", NEW),
        told("lookup", "0"),
        Record("acknowledgements", 0, 0, 1, None, b"junk"),
        Record("acknowledgements", 0, 0, 1, None, None),
    ]
    assert told_keys(records, {"populate": frozenset({"a"})}) == [WorkerKeys("populate", (NEW,))]


def test_the_key_that_signed_a_forward_is_seen_in_it() -> None:
    route = ShardRoute(forward_id="f", incarnation="i", partition=0)
    forward = Forward(forward_id="f", model="m", body={}, deadline_at_ms=1, route=signed_route(route))
    assert signing_key(forward.encode()) == ROUTES.keys.ids[0]
    assert signing_key(forward.model_copy(update={"route": encode_route(route)}).encode()) == ""
    assert signing_key(forward.model_copy(update={"route": "a.secret"}).encode()) == "?"
    assert signing_key(b"junk") is None


def test_a_key_that_others_can_read_and_accepting_what_is_not_signed_are_told(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    assert here(settings) == []
    route_keys(settings)
    assert here(settings) == []
    (tmp_path / MADE).chmod(0o644)
    assert states(here(settings)) == ["fail"]
    assert states(here(Settings(state_dir=tmp_path, routes=Routes(keys=SecretStr(KEY.hex()), unsigned="accept")))) == [
        "warn"
    ]
