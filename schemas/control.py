"""`control`: commands of operators and of `adapt`; and `policies`, the policy in force.

`control` has one partition: the offset of a command is its version.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, model_validator

from refrain.schemas.base import Message, Millis, Name, Part, QuestionKey, RecoveryWay, Sealed, Selection
from refrain.schemas.policy import Policy


class Command(Message):
    """What every command says: who gave it, and why."""

    who: Annotated[str, Field(min_length=1, max_length=256)]
    why: Annotated[str, Field(max_length=2000)] = ""


class SetPolicy(Command):
    """Put a policy in force. `expected_version` is the version it replaces: two at once cannot both win."""

    kind: Literal["PolicySet"] = "PolicySet"
    policy: Policy
    """The policy to put in force, in place of the whole one before."""
    expected_version: int | None = None
    """The version that it replaces; null: any, 0: none has been in force yet."""


class ReportLoad(Command):
    """The load of a model, between 0 (up to target) and 1 (saturated), good until `valid_until_ms`."""

    kind: Literal["LoadChanged"] = "LoadChanged"
    model: str
    load: Annotated[float, Field(ge=0, le=1)]
    valid_until_ms: Millis
    """When the load counts as 0 again unless it is told anew."""


class Invalidate(Selection, Command):
    """Withdraw the entries that match all that is given.

    Without `before_ms` the cut-off is the command's own place: what a shard admits after it stays, and an answer that
    was on its way to a matching question is delivered and not kept. With `before_ms` only entries admitted earlier go.
    """

    kind: Literal["Invalidate"] = "Invalidate"
    tenant: Name | None = None
    category: Name | None = None
    older_than_ms: Annotated[int, Field(gt=0)] | None = None
    """Entries that are older than this at the command."""
    all: bool = False
    """Needed to withdraw every entry: nothing else is given then."""

    @model_validator(mode="after")
    def _narrow(self) -> Invalidate:
        if self.keep_version is not None and self.source_id is None:
            raise ValueError("keep_version needs the source_id that it is a version of")
        named = (
            self.entry_id, self.tag, self.source_id, self.tenant, self.category, self.model, self.older_than_ms,
            self.near,
        )  # fmt: skip
        if not self.all and all(value is None for value in named):
            raise ValueError("an invalidation that matches everything needs all: true")
        return self


class Judge(Command):
    """Say whether the answer of a decision was right. A wrong one is withdrawn and not kept again."""

    kind: Literal["Judge"] = "Judge"
    decision_id: Annotated[str, Field(min_length=1, max_length=128)]
    partition: Annotated[int, Field(ge=0)] | None = None
    """With `offset` the decision's place in the journal, as its response tells it: it is found at once by that, else
    looked for."""
    offset: Annotated[int, Field(ge=0)] | None = None
    """The journal offset of the decision."""
    correct: bool
    """Whether the answer was right."""


class Switch(Command):
    """Switch the cache off or on, for one category or for all: off, everything is forwarded and nothing is kept."""

    kind: Literal["Switch"] = "Switch"
    on: bool
    """Whether the cache is on from here."""
    category: Name | None = None
    """The category to switch; null: all."""


class RecoverShard(Command):
    """Have a stopped shard go on. It obeys only while it is stopped at `position`."""

    kind: Literal["RecoverShard"] = "RecoverShard"
    partition: Annotated[int, Field(ge=0)]
    how: RecoveryWay
    """How it goes on."""
    position: Annotated[int, Field(ge=0)]
    """The journal offset at which it is stopped."""


Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{1,128}$")]


class ImportEntry(QuestionKey, Command):
    """Keep an answer that another cache has kept, unless the same text is kept already."""

    kind: Literal["ImportEntry"] = "ImportEntry"
    tenant: Name
    space: Annotated[str, Field(pattern=r"^(\*|[A-Za-z0-9._-]{1,64})$")]
    category: Name
    context: Hex
    text_digest: Hex
    vector: Annotated[str, Field(max_length=100_000)] | None
    answer: Sealed
    """The projection of the answer, as JSON, as `documents` holds it."""
    admitted_at_ms: Millis | None = None
    """When it was admitted there, so that it keeps its age; None: its lifetime begins anew."""
    latency_ms: Millis = 0
    """How long the model took there."""
    tokens: Annotated[int, Field(ge=0)] = 0
    """What the model counted for question and answer: the tokens that each hit saves."""
    origin: Annotated[str, Field(max_length=256)] = ""
    """Its id there."""


Given = SetPolicy | ReportLoad | Invalidate | Judge | Switch | RecoverShard | ImportEntry
AnyCommand = Annotated[Given, Field(discriminator="kind")]
COMMANDS: TypeAdapter[Given] = TypeAdapter(AnyCommand)


def decode_command(data: bytes) -> Given:
    """Read a command by its `kind`. Raises pydantic.ValidationError."""
    return COMMANDS.validate_json(data)


class JournalKept(Part):
    """The journal whose shards a policy was given to: keys belong to shards by the number of its partitions."""

    topic_id: str
    """Its topic id: one that is made anew has another."""
    partitions: int
    """How many it had."""


class PolicyInForce(Message):
    """The value of `policies` (key `policy`): the last policy that govern accepted."""

    version: int
    who: str
    why: str = ""
    at_ms: Millis
    """When it came into force."""
    journal: JournalKept | None = None
    """The journal that was there then; null: of an older version."""
    policy: Policy


POLICY_KEY = b"policy"
