"""The outsider confirms the hits of a recorded run, and finds what was altered in it."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refrain.schemas.policy import Guard
from tests.ops.whatif.service import Service
from tests.ops.whatif.traffic import policy, script
from tests.outsider import audit as outsider

Rows = list[dict[str, Any]]
LINES_MAX = 60


@pytest.fixture(scope="module")
def service() -> Service:
    made = policy(threshold=0.75, guards=tuple(Guard), unverified="hit", scope="shared", ttl_ms=600_000)
    return Service(made).run(script(7, 200))


def rows(service: Service, topic: str) -> Rows:
    """The records of a topic as `kcat -J` writes them."""
    return [
        {"partition": record.partition, "offset": record.offset, "ts": record.timestamp_ms,
         "payload": (record.value or b"").decode()}
        for record in service.cluster.records(topic)
    ]  # fmt: skip


def altered(found: Rows, is_it: Callable[[dict[str, Any]], bool], **fields: Any) -> str:
    """Alter the first that is; its id, or what it is about."""
    for row in found:
        value = json.loads(row["payload"])
        if is_it(value):
            row["payload"] = json.dumps(value | fields)
            return str(value.get("id") or value.get("forward_id"))
    raise AssertionError("there is none")


def by_meaning(decision: dict[str, Any]) -> bool:
    return (decision["outcome"], decision["reason"]) == ("hit", "similar_text")


def test_it_confirms_every_hit_of_a_recorded_run(service: Service) -> None:
    decisions = rows(service, "decisions")
    told = [json.loads(row["payload"]) for row in decisions]
    hits, wrong = outsider.audit(rows(service, "journal"), decisions)
    assert wrong == []
    assert hits == sum(each["outcome"] == "hit" for each in told) > 20
    assert sum(map(by_meaning, told)) > 5
    assert any(guard["weight"] for each in told if by_meaning(each) for guard in each["guards"])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"similarity": 0.987654}, {"similarity"}),
        ({"namespace": "0" * 32}, {"namespace"}),
        ({"threshold": 0.999999}, {"score"}),
        ({"score": 0.95}, {"score"}),
        ({"entry_age_ms": 1}, {"age"}),
        ({"ttl_ms": 1}, {"age"}),
        ({"answer": "f" * 32}, {"answer"}),
        ({"load": "much"}, {"schema"}),
    ],
)
def test_a_changed_decision_is_named(fields: dict[str, Any], said: set[str], service: Service) -> None:
    decisions = rows(service, "decisions")
    id_ = altered(decisions, by_meaning, **fields)
    _, wrong = outsider.audit(rows(service, "journal"), decisions)
    assert set(wrong) == {f"{id_}: the {name} is wrong" for name in said}


def test_a_hit_on_an_entry_of_another_namespace_is_named(service: Service) -> None:
    decisions = rows(service, "decisions")
    told = [json.loads(row["payload"]) for row in decisions]
    hit = next(filter(by_meaning, told))
    other = next(each for each in told if each["outcome"] == "hit" and each["namespace"] != hit["namespace"])
    altered(decisions, lambda each: each["id"] == hit["id"], entry_id=other["entry_id"])
    _, wrong = outsider.audit(rows(service, "journal"), decisions)
    assert f"{hit['id']}: the namespace is wrong" in wrong
    assert all(each.startswith(f"{hit['id']}: ") for each in wrong)


def test_an_entry_that_never_was_is_named(service: Service) -> None:
    decisions = rows(service, "decisions")
    id_ = altered(decisions, by_meaning, entry_id="0-999999-journal-")
    _, wrong = outsider.audit(rows(service, "journal"), decisions)
    assert wrong == [f"{id_}: its question, or that of 0-999999-journal-, is not in the journal"]


def test_a_changed_answer_in_the_journal_is_named(service: Service) -> None:
    journal, decisions = rows(service, "journal"), rows(service, "decisions")
    hit = next(each for each in (json.loads(row["payload"]) for row in decisions) if by_meaning(each))
    partition, offset, _ = hit["entry_id"].split("-", 2)
    row = next(each for each in journal if (each["partition"], each["offset"]) == (int(partition), int(offset)))
    value = json.loads(row["payload"])
    body = json.loads(value["body"]["data"])
    body["choices"][0]["message"]["content"] += " or not"
    row["payload"] = json.dumps(value | {"body": {"data": json.dumps(body)}})
    _, wrong = outsider.audit(journal, decisions)
    assert f"{hit['id']}: the answer is wrong" in wrong


def test_it_is_short_and_takes_nothing_of_refrain() -> None:
    text = Path(outsider.__file__).read_text(encoding="utf-8")
    assert sum(bool(line.strip()) for line in text.splitlines()) <= LINES_MAX
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([each.name for each in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    assert not imported & {"refrain", "schemas", "streams", "ops", "tests"}
