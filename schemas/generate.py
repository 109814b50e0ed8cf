"""JSON Schema files of every message, made from the models: `python -m refrain.schemas.generate`.

They are for readers and writers in other languages; a test keeps them equal to the models.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from refrain.schemas import control, journal
from refrain.schemas.acknowledgements import Acknowledgement
from refrain.schemas.base import Message
from refrain.schemas.control import PolicyInForce
from refrain.schemas.dead_letters import NotSent
from refrain.schemas.decisions import Decision
from refrain.schemas.documents import (
    Aging,
    Banned,
    Doubt,
    Entry,
    EntryStats,
    Flight,
    Judged,
    Meta,
    Opinion,
    ShardLoad,
    ShardPolicy,
    Switched,
    TableMode,
    Tally,
    TenantUse,
    Waiting,
    Withdrawal,
)
from refrain.schemas.doubts import DoubtRaised
from refrain.schemas.forwards import Completion, Forward
from refrain.schemas.load import LoadSample
from refrain.schemas.observations import Comparison, Observation
from refrain.schemas.progress import Progress
from refrain.schemas.requests import Request
from refrain.schemas.responses import Response
from refrain.schemas.stats import ShardStats

FOLDER = Path(__file__).parent / "json"

MODELS: dict[str, type[Message]] = {
    "request": Request,
    "response": Response,
    "forward": Forward,
    "completion": Completion,
    "progress": Progress,
    "decision": Decision,
    "load": LoadSample,
    "policy-in-force": PolicyInForce,
    "documents.entry": Entry,
    "documents.stats": EntryStats,
    "documents.flight": Flight,
    "documents.waiting": Waiting,
    "documents.table": TableMode,
    "documents.policy": ShardPolicy,
    "documents.load": ShardLoad,
    "documents.aging": Aging,
    "documents.withdrawal": Withdrawal,
    "documents.banned": Banned,
    "documents.judged": Judged,
    "documents.switched": Switched,
    "documents.tally": Tally,
    "documents.tenant": TenantUse,
    "documents.doubt": Doubt,
    "documents.opinion": Opinion,
    "documents.meta": Meta,
    "acknowledgement": Acknowledgement,
    "doubt": DoubtRaised,
    "observation": Observation,
    "comparison": Comparison,
    "stats": ShardStats,
    "not-sent": NotSent,
}
"""File name and model; `journal` and `control` are unions and stand beside them."""


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of every message by file name, without the ending."""
    return {
        **{name: model.model_json_schema() for name, model in MODELS.items()},
        "journal": journal.json_schema(),
        "control": control.json_schema(),
    }


def rendered() -> dict[str, str]:
    """The text of every file by its whole name."""
    return {
        f"{name}.schema.json": json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for name, schema in schemas().items()
    }


def write(folder: Path = FOLDER) -> None:
    """Write the files, and delete those of messages that are no more."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = rendered()
    for path in folder.glob("*.schema.json"):
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
