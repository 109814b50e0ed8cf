"""Base of all messages: frozen models with a version, names that are safe in keys, sealed text."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, FailFast, Field

from refrain.schemas.names import NAME_PATTERN

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Millis = Annotated[int, Field(ge=0)]
"""Milliseconds: a point in time (since the epoch) in fields ending in `_at_ms`, else a duration."""
Natural = Annotated[int, Field(ge=0, lt=2**63)]
"""An offset, a count, or a size."""
Micros = Annotated[float, Field(ge=-1.0, le=1.0)]
"""A cosine similarity, rounded to six places."""


Bounded = FailFast()
"""Of a list that anybody may fill: validation ends at its first wrong item, a million of them would take seconds."""

AskerNames = Literal["user", "vary", "turns"]
"""What may name who asks: the body's `user`, the request's `vary`, earlier turns."""


class Part(BaseModel):
    """A part of a message. Frozen; fields unknown today are ignored, so that newer writers can add some."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    @classmethod
    def trusted(cls, **fields: Any) -> Self:
        """The part of fields that are valid by construction: neither checked nor converted, which takes a fifth.

        A field that may be any number takes a float, not an int. Raises TypeError for a field that is missing or
        unknown.
        """
        blank = _blank(cls)
        values = blank.values | fields
        if len(values) != len(blank.values) or not blank.required <= fields.keys():
            unknown, missing = values.keys() - blank.values.keys(), blank.required - fields.keys()
            raise TypeError(f"{cls.__name__}: unknown fields {sorted(unknown)}, missing ones {sorted(missing)}")
        made = cls.__new__(cls)
        _set(made, "__dict__", values)
        _set(made, "__pydantic_fields_set__", blank.names)
        _set(made, "__pydantic_extra__", None)
        _set(made, "__pydantic_private__", None)
        return made


class _Blank(NamedTuple):
    """The fields of a part in their order, with their defaults; their names; and those that have no default."""

    values: dict[str, Any]
    names: set[str]
    required: frozenset[str]


_set = object.__setattr__


@cache
def _blank(part: type[Part]) -> _Blank:
    # What a factory makes is not for two parts to share: such a field must be given.
    named = part.model_fields
    required = frozenset(name for name, field in named.items() if field.is_required() or field.default_factory)
    values = {name: None if name in required else field.default for name, field in named.items()}
    return _Blank(values, set(values), required)


class Strict(Part):
    """A part of what an operator or a training writes, or of a file that is whole: an unknown field is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Message(Part):
    """A whole message: a part with a version. A reader refuses versions it does not know."""

    v: Literal[1] = 1

    def encode(self) -> bytes:
        """The message as UTF-8 JSON, fields in the order of the model."""
        return self.__pydantic_serializer__.to_json(self)

    @classmethod
    def decode(cls, data: bytes | str) -> Self:
        """Read a message. Raises pydantic.ValidationError naming each wrong field."""
        return cls.model_validate_json(data)


class Sealed(Part):
    """Text of a user in a record that is kept: an envelope that names the key it is sealed with.

    `plain` is the key of no cipher: `data` is the text itself.
    """

    key_id: str = "plain"
    """The key that the text is sealed with."""
    data: str
    """The text, sealed."""


class RecoveryWay(StrEnum):
    """How a stopped shard goes on."""

    WATERMARK = "from-watermark"
    """At the first journal record that is still there, with the state as it is."""
    DOCUMENTS = "from-documents"
    """Where it stands, with a local store that is restored from `documents` anew."""
    EMPTY = "empty"
    """With no state, at the first journal record that is still there."""


class Near(Part):
    """A question by its meaning: what is at least as similar to it as `similarity` is near."""

    embedder: str
    """Identity of the embedder that made the vector; vectors of others are not compared."""
    vector: Annotated[str, Field(max_length=100_000)]
    """The vector of record, base64 of little-endian int16."""
    similarity: Annotated[float, Field(gt=0, le=1)]
    """The least similarity to be near."""


class Source(Part):
    """A document that an answer draws on, in one version."""

    id: Annotated[str, Field(min_length=1, max_length=256)]
    """What names the document."""
    version: Annotated[str, Field(max_length=256)] = ""
    """Answers drawn from another version never match."""


class TextSide(Part):
    """A question's text as the trained head of the hit rule reads it, so that nothing but the record is needed."""

    hit_head: str
    """The version of the head that made it; it is compared with those of the same version."""
    tokens: Annotated[str, Field(max_length=8_192, pattern=r"^[A-Za-z0-9+/]+={0,2}$")]
    """Projected token vectors (tokens, width of the head), base64 of int8."""


class QuestionKey(Part):
    """What tells a question from others, and what its answer is kept under."""

    tenant: str
    space: str
    """Whose entries may serve: the tenant, or `*` when the category is shared."""
    category: str
    model: str
    embedder: str
    context: str
    """Digest of all that must match exactly, hex."""
    fields: dict[str, str] = Field(default_factory=dict)
    """Digest of each part of the context, so that a miss can name the parts that differ."""
    text_digest: str
    """Digest of the question's text, hex."""
    vector: str | None
    """The vector of record, base64 of little-endian int16; None: only an exact match may serve."""
    question: Sealed
    """The text that is compared by meaning."""
    text_side: TextSide | None = None
    """None where the category has no trained head, or the text is too long for it."""
    tags: Annotated[tuple[str, ...], Bounded] = ()
    sources: Annotated[tuple[Source, ...], Bounded] = ()

    def question_key(self) -> dict[str, Any]:
        """These fields by name, for another message about the same question."""
        return {name: getattr(self, name) for name in QuestionKey.model_fields}


class Dependence(Part):
    """What the answer to a question depends on, as classify found it by rule."""

    rules: str
    """The version of the rules, 8 hex digits."""
    volatile: Annotated[tuple[str, ...], Bounded] = ()
    """The words by which the answer depends on now; none: it does not."""
    personal: Annotated[tuple[str, ...], Bounded] = ()
    """The words by which the answer depends on who asks; none: it does not."""
    named: Annotated[tuple[AskerNames, ...], Bounded] = ()
    """What in the request names who asks, and is part of the context."""


class Selection(Part):
    """Which entries: those that match all that is given."""

    before_ms: Millis | None = None
    """Entries admitted before this time."""
    entry_id: str | None = None
    """The entry of this id."""
    tag: str | None = None
    """Entries that have the tag."""
    source_id: str | None = None
    """Entries that draw on the document."""
    keep_version: str | None = None
    """The current version of the source: entries that draw on any other one match, those that draw on it do not."""
    tenant: str | None = None
    """Entries of the tenant."""
    category: str | None = None
    """Entries of the category."""
    model: str | None = None
    """Entries with answers of the model."""
    near: Near | None = None
    """Entries whose question is near."""

    def selection(self) -> dict[str, Any]:
        """These fields by name, for another message about the same entries."""
        return {name: getattr(self, name) for name in Selection.model_fields}


class Header(Part):
    """One Kafka header; `value` is base64, None for a header without a value."""

    name: str
    """The header's name."""
    value: str | None = None
    """Its value in base64; null for a header without one."""


class Reply(Part):
    """Where a response goes and what it must carry back of its request."""

    topic: Annotated[str, Field(pattern=r"^(responses|/[A-Za-z0-9._-]{1,249})$")]
    """`responses`, or `/` and the whole name of a topic outside of Refrain: none of its own has a name here."""
    partition: Annotated[int, Field(ge=0)] | None = None
    """The partition to answer to; null: by the key."""
    key: str | None = None
    """The request's key, base64."""
    headers: Annotated[tuple[Header, ...], Bounded] = ()
    """The request's headers, to be carried back."""
