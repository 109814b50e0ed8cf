"""The tables of the papers say what the code says: fields, defaults, limits, settings, commands, topics, codes."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from refrain.ops.config.sources import fields
from refrain.ops.run.processors import NAMES
from refrain.ops.terminal import exit_codes
from refrain.schemas import (
    acknowledgements,
    base,
    control,
    decisions,
    documents,
    forwards,
    load,
    observations,
    policy,
    policy_limits,
    policy_rules,
    progress,
    requests,
    responses,
    stats,
)
from refrain.schemas.topics import DAY_MS, HOUR_MS, TOPICS, YEAR_MS, Topic
from refrain.streams.errors import RefusalCode
from refrain.streams.settings import Settings
from tests.infra.documents import command_line
from tests.infra.documents.markdown import Row, code, read_paper
from tests.streams.worker_metrics import registered

ROOT = Path(__file__).resolve().parents[3]
CONTRACT = read_paper(ROOT / "schemas/README.md")
REFERENCE = read_paper(ROOT / "ops/REFERENCE.md")

MESSAGES: tuple[type[BaseModel], ...] = (
    requests.Request, base.Source, responses.Response, responses.Problem, responses.DecisionSummary, forwards.Forward,
    forwards.Completion, progress.Progress, progress.ProgressPlace, load.LoadSample, control.SetPolicy,
    control.ReportLoad, control.Invalidate, base.Near,
    control.Judge, control.Switch, control.ImportEntry, acknowledgements.Acknowledgement, decisions.Decision,
    decisions.Candidate,
    decisions.Guarded, decisions.CountedDependence, responses.GuardTold, base.Dependence, observations.Comparison,
    control.PolicyInForce, stats.ShardStats,
    stats.CategoryNow, documents.Tally,
)  # fmt: skip
POLICY: tuple[type[BaseModel], ...] = (
    policy.Policy, policy.CategoryPolicy, policy.ShortLived, policy.Required, policy.Quota,
    policy_rules.Rule, policy_rules.Match, policy.ModelPolicy, policy.Prices, policy_limits.Limits,
)  # fmt: skip
LIMITS = ("maxLength", "maxItems", "maximum", "exclusiveMaximum")
WORDS_MAX = 8
"""A longer list of allowed words has a table of its own."""


def shown(value: object) -> str:
    """A default as the tables write it."""
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, BaseModel | dict):
        return "{}"
    if isinstance(value, tuple):
        return "[" + ", ".join(shown(each) for each in value) + "]"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) or '""'


def default(field: FieldInfo) -> str:
    """A field's default as the tables write it."""
    return "required" if field.is_required() else shown(field.get_default(call_default_factory=True))


def said(cell: str) -> str:
    """The default that a cell gives."""
    return (code(cell) or (cell,))[0]


def limits(part: Any, definitions: dict[str, Any]) -> set[str]:
    """The upper limits and the allowed words of a field of a JSON Schema."""
    if isinstance(part, list):
        return {text for each in part for text in limits(each, definitions)}
    if not isinstance(part, dict):
        return set()
    referred = definitions.get(str(part.get("$ref", "")).rpartition("/")[2], {})
    words = [str(word) for word in (*part.get("enum", ()), *referred.get("enum", ()))]
    found = {shown(part[name]) for name in LIMITS if name in part} | set(words if len(words) <= WORDS_MAX else ())
    return found | {text for name in ("anyOf", "items", "prefixItems") for text in limits(part.get(name), definitions)}


@pytest.mark.parametrize(
    ("rows", "model"),
    [*((CONTRACT.rows, model) for model in MESSAGES), *((REFERENCE.rows, model) for model in POLICY)],
    ids=[model.__name__ for model in (*MESSAGES, *POLICY)],
)
def test_every_field_is_named_with_its_default_and_limit(rows: tuple[Row, ...], model: type[BaseModel]) -> None:
    found = {code(row.cells[0])[0]: row for row in rows if row.heading == model.__name__}
    assert {name: said(row.cells[2]) for name, row in found.items()} == {
        name: default(field) for name, field in model.model_fields.items()
    }
    schema = model.model_json_schema()
    for name, row in found.items():
        told = " ".join(row.cells).replace(",", " ").replace("`", " ").split()
        wanted = limits(schema["properties"][name], schema.get("$defs", {}))
        assert sorted(wanted - {word.strip("[].;:()") for word in told}) == [], f"line {row.line}"


def test_every_setting_is_named_with_its_default() -> None:
    found = {code(row.cells[0])[0]: said(row.cells[1]) for row in REFERENCE.rows if row.heading == "All settings"}
    wanted = {".".join(key): field for key, field in fields(Settings) if not _is_group(field)}
    assert found == {name: default(field) for name, field in wanted.items()}


def test_every_command_is_named_with_its_options() -> None:
    found = {code(row.cells[0])[0]: set(code(row.cells[1])) for row in REFERENCE.rows if row.heading == "Commands"}
    wanted = {path: command_line.options(command) for path, command in command_line.tree()}
    assert {name: sorted(options) for name, options in found.items()} == {
        name: sorted(options) for name, options in wanted.items()
    }


def test_every_topic_is_named_as_the_table_of_the_code_has_it() -> None:
    found = {code(row.cells[0])[0]: row for row in CONTRACT.rows if row.heading == "Topics"}
    assert list(found) == [topic.name for topic in TOPICS]
    for topic in TOPICS:
        message, key, kept = found[topic.name].cells[2:5]
        assert (message, key, kept) == (f"`{topic.message}`", topic.key, _kept(topic)), topic.name


def test_every_code_and_reason_is_named() -> None:
    codes = [code(row.cells[0])[0] for row in CONTRACT.rows if row.heading == "Error codes"]
    reasons = [code(row.cells[0])[0] for row in CONTRACT.rows if row.heading == "Reasons"]
    assert sorted(codes) == sorted(RefusalCode)
    assert sorted(reasons) == sorted(decisions.Reason)


def test_every_exit_code_is_named() -> None:
    found = [code(row.cells[0])[0] for row in REFERENCE.rows if row.heading == "Exit codes"]
    assert found == [str(number) for number, _ in exit_codes.TABLE]


def test_every_metric_is_named_with_its_kind_and_the_workers_that_have_it(tmp_path: Path) -> None:
    rows = [row for row in REFERENCE.rows if row.heading == "Metrics"]
    found = {(code(row.cells[0])[0], row.cells[2]): code(row.cells[1]) or (row.cells[1],) for row in rows}
    workers: dict[tuple[str, str], list[str]] = {}
    for worker in NAMES:
        for metric in registered(worker, tmp_path / worker):
            workers.setdefault(metric, []).append(worker)
    assert {metric: sorted(named) for metric, named in found.items()} == {
        metric: ["all"] if len(of) == len(NAMES) else sorted(of) for metric, of in workers.items()
    }


def _is_group(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _kept(topic: Topic) -> str:
    if topic.retention_ms is None:
        return "compacted"
    if topic.retention_ms >= YEAR_MS:
        return "a year"
    if topic.retention_ms == HOUR_MS:
        return "an hour"
    days = topic.retention_ms // DAY_MS
    return "a day" if days == 1 else f"{days} days"
