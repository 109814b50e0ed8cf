"""Field descriptions of the schemas: what stands below a field in its model, else what its name means everywhere.

They are read from the source when schemas are made, so that a worker that starts does not pay for them.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from enum import Enum
from functools import cache
from itertools import pairwise

from pydantic import BaseModel

COMMON = {
    "v": "The version of the message.",
    "kind": "What tells this message from others of its topic.",
    "request_id": "The client's own name of the request; nothing is keyed by it.",
    "tenant": "Whose it is.",
    "category": "The category of traffic, by its name in the policy.",
    "model": "The model that is asked, as `model` of the request's body names it.",
    "decision_id": "The decision, by its id in `decisions`.",
    "entry_id": "The entry of the cache, `PARTITION-OFFSET-TAG`.",
    "forward_id": "The forward: a question on its way to a model.",
    "entry": "The number of the entry: the journal offset that admitted it.",
    "partition": "The shard: its partition of `journal`.",
    "offset": "The journal offset that brought it about.",
    "version": "The command's offset in `control`.",
    "who": "Who gave the command.",
    "why": "Why it was given.",
    "time_ms": "The shard's time, in milliseconds since 1970 (UTC).",
    "at_ms": "When, in milliseconds since 1970 (UTC).",
    "deadline_at_ms": "When nobody waits for an answer any more.",
    "latency_ms": "What the model took.",
    "policy": "The whole policy.",
    "policy_version": "The version of the policy that counted; null when none was in force.",
    "similarity": "The cosine similarity of two questions, rounded to six places.",
    "threshold": "What a score must reach to be a hit, with load and judgements in it.",
    "base_threshold": "The threshold as the policy has it.",
    "ttl_ms": "How long an answer is good, with load in it.",
    "base_ttl_ms": "The lifetime as the policy has it.",
    "load": "The load of the model, from 0 (up to target) to 1 (saturated).",
    "embedder": "Identity of the embedder that made the vector.",
    "namespace": "Digest of tenant, category, embedder and context.",
    "reply": "Where the response goes, and what it carries back of its request.",
    "error": "Why there is no answer.",
    "guard": "The guard that looked.",
    "verdict": "What it said: whether it saw a difference, and what that did.",
    "tags": "The tags of the request, kept with the answer.",
    "sources": "The documents that the answer draws on.",
    "outcome": "How the request is answered.",
}
"""What a field of this name means in every message that says nothing more of it."""


@cache
def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """The description of each field of a model that has one, by the field's name."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            found |= _docstrings(base)
    return {name: found.get(name, COMMON.get(name, "")) for name in model.model_fields if name in found | COMMON}


def members(kind: type[Enum]) -> dict[str, str]:
    """What stands below each member of an enumeration, by the member's value."""
    below = _docstrings(kind)
    return {str(member.value): below[name] for name, member in kind.__members__.items() if name in below}


def _docstrings(kind: type) -> dict[str, str]:
    """The text that stands below each name that a class body assigns."""
    [tree] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    return {
        name: inspect.cleandoc(text)
        for above, below in pairwise(tree.body)
        if (name := _assigned(above)) is not None and (text := _text(below)) is not None
    }


def _assigned(statement: ast.stmt) -> str | None:
    if isinstance(statement, ast.AnnAssign):
        target: ast.expr = statement.target
    elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    else:
        return None
    return target.id if isinstance(target, ast.Name) else None


def _text(statement: ast.stmt) -> str | None:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return statement.value.value if isinstance(statement.value.value, str) else None
    return None
