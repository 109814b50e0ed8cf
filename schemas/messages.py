"""Messages by the name of their schema, and which of them each topic carries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter

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

EXAMPLES = Path(__file__).parent / "examples"


def _by_kind(topic: str, union: UnionType) -> Mapping[str, type[Message]]:
    """The messages of a union by the topic and their `kind`."""
    return {f"{topic}.{model.model_fields['kind'].default}": model for model in get_args(union)}


BY_TOPIC: Mapping[str, Mapping[str, type[Message]]] = {
    "requests": {"request": Request},
    "responses": {"response": Response},
    "journal": _by_kind("journal", journal.Event),
    "documents": {
        "documents.entry": documents.Entry,
        "documents.stats": documents.EntryStats,
        "documents.flight": documents.Flight,
        "documents.waiting": documents.Waiting,
        "documents.table": documents.TableMode,
        "documents.policy": documents.ShardPolicy,
        "documents.load": documents.ShardLoad,
        "documents.aging": documents.Aging,
        "documents.withdrawal": documents.Withdrawal,
        "documents.banned": documents.Banned,
        "documents.judged": documents.Judged,
        "documents.switched": documents.Switched,
        "documents.tally": documents.Tally,
        "documents.tenant": documents.TenantUse,
        "documents.doubt": documents.Doubt,
        "documents.opinion": documents.Opinion,
        "documents.skip": documents.Skip,
        "documents.meta": documents.Meta,
    },
    "decisions": {"decision": Decision},
    "forwards": {"forward": Forward},
    "completions": {"completion": Completion},
    "progress": {"progress": Progress},
    "load": {"load": LoadSample},
    "control": _by_kind("control", control.Given),
    "policies": {"policy-in-force": PolicyInForce},
    "acknowledgements": {"acknowledgement": Acknowledgement},
    "stats": {"stats": ShardStats},
    "doubts": {"doubt": DoubtRaised},
    "observations": {"observation": Observation},
    "comparisons": {"comparison": Comparison},
    "dead-letters": {"not-sent": NotSent},
}
"""The messages of each topic by name. Those of a union, `journal` and `control`, share a schema of the topic's name."""

MESSAGES: Mapping[str, type[Message]] = {name: model for models in BY_TOPIC.values() for name, model in models.items()}
UNIONS: Mapping[str, TypeAdapter[Any]] = {"journal": journal.EVENTS, "control": control.COMMANDS}
_NAMES: Mapping[type[BaseModel], str] = {model: name for name, model in MESSAGES.items()}


@cache
def example(model: type[BaseModel]) -> dict[str, Any] | None:
    """An example of a message; None of what is only a part of one."""
    name = _NAMES.get(model)
    if name is None:
        return None
    found: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    return found
