"""Golden wire files: what was written once is read for ever. Files are added, not edited."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from refrain.schemas import control, documents, journal
from refrain.schemas.acknowledgements import Acknowledgement
from refrain.schemas.base import Message
from refrain.schemas.control import PolicyInForce
from refrain.schemas.dead_letters import NotSent
from refrain.schemas.decisions import Decision
from refrain.schemas.doubts import DoubtRaised
from refrain.schemas.forwards import Completion, Forward
from refrain.schemas.load import LoadSample
from refrain.schemas.observations import Comparison, Observation
from refrain.schemas.progress import Progress
from refrain.schemas.requests import Request
from refrain.schemas.responses import Response
from refrain.schemas.stats import ShardStats

GOLDEN = Path(__file__).parent / "golden"
MODELS: dict[str, type[Message]] = {
    "Request": Request,
    "Response": Response,
    "Forward": Forward,
    "Completion": Completion,
    "Progress": Progress,
    "Decision": Decision,
    "LoadSample": LoadSample,
    "PolicyInForce": PolicyInForce,
    "Acknowledgement": Acknowledgement,
    "DoubtRaised": DoubtRaised,
    "Observation": Observation,
    "Comparison": Comparison,
    "ShardStats": ShardStats,
    "NotSent": NotSent,
    "control.PolicySet": control.SetPolicy,
    "control.LoadChanged": control.ReportLoad,
    "control.Invalidate": control.Invalidate,
    "control.Judge": control.Judge,
    "control.Switch": control.Switch,
    "control.RecoverShard": control.RecoverShard,
    "control.ImportEntry": control.ImportEntry,
    **{
        f"journal.{model.__name__}": model
        for model in (
            journal.Asked,
            journal.Passed,
            journal.Answered,
            journal.AnswerFailed,
            journal.AnswerWithheld,
            journal.Verified,
            journal.PolicySet,
            journal.LoadChanged,
            journal.EntriesInvalidated,
            journal.HitJudged,
            journal.CacheSwitched,
            journal.RecoveryOrdered,
            journal.EntryImported,
            journal.Tick,
        )
    },
    **{
        f"documents.{model.__name__}": model
        for model in (
            documents.Entry,
            documents.EntryStats,
            documents.Flight,
            documents.Waiting,
            documents.TableMode,
            documents.ShardPolicy,
            documents.ShardLoad,
            documents.Aging,
            documents.Withdrawal,
            documents.Banned,
            documents.Judged,
            documents.Switched,
            documents.TenantUse,
            documents.Skip,
            documents.Tally,
            documents.Doubt,
            documents.Opinion,
            documents.Meta,
        )
    },
}
NOT_KEPT: dict[type[Message], set[str]] = {
    documents.Flight: {".admit", ".joinable"},
    Decision: {".guards[0].words", ".guards[1].words", ".depends.volatile", ".depends.personal"},
}
"""Fields that were written and that no reader ever needed, or may have: they are read over."""
FILES = sorted(GOLDEN.glob("*.json"))


def model_of(path: Path) -> type[Message]:
    """The model of `NAME.v1.json` or `NAME.variant.v1.json`."""
    parts = path.name.split(".")
    return MODELS.get(".".join(parts[:2])) or MODELS[parts[0]]


def lost(old: Any, new: Any, at: str = "") -> list[str]:
    """Where `new` does not hold what `old` held."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [where for key in old for where in lost(old[key], new.get(key), f"{at}.{key}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [where for n, pair in enumerate(zip(old, new, strict=True)) for where in lost(*pair, f"{at}[{n}]")]
    return [] if old == new else [at]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_file_still_reads_and_keeps_every_value(path: Path) -> None:
    message = model_of(path).decode(path.read_bytes())
    gone = set(lost(json.loads(path.read_bytes()), json.loads(message.encode())))
    assert gone <= NOT_KEPT.get(type(message), set())
    assert model_of(path).decode(message.encode()) == message


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_message_has_a_golden_file_that_is_written_back_as_it_is(name: str) -> None:
    mine = [path for path in FILES if model_of(path) is MODELS[name]]
    assert mine, f"add tests/schemas/golden/{name}.v1.json"
    back = [json.dumps(json.loads(model_of(path).decode(path.read_bytes()).encode())) for path in mine]
    assert any(json.dumps(json.loads(path.read_bytes())) == text for path, text in zip(mine, back, strict=True)), (
        f"{name} has fields that no golden file shows: add one that has them"
    )


@pytest.mark.parametrize("path", [p for p in FILES if p.name.startswith("journal.")], ids=lambda path: path.stem)
def test_a_journal_record_is_recognised_by_its_kind(path: Path) -> None:
    assert type(journal.decode_event(path.read_bytes())) is model_of(path)


@pytest.mark.parametrize("path", [p for p in FILES if p.name.startswith("control.")], ids=lambda path: path.stem)
def test_a_command_is_recognised_by_its_kind(path: Path) -> None:
    assert type(control.decode_command(path.read_bytes())) is model_of(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_another_version_is_refused(path: Path) -> None:
    wire = {**json.loads(path.read_bytes()), "v": 99}
    with pytest.raises(ValueError, match="v"):
        model_of(path).decode(json.dumps(wire))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_field_that_is_not_known_today_is_ignored(path: Path) -> None:
    wire = {**json.loads(path.read_bytes()), "of_tomorrow": 1}
    assert model_of(path).decode(json.dumps(wire)) == model_of(path).decode(path.read_bytes())
