"""Decodes the value of a record into a message, or raises the one refusal that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from refrain.schemas.base import Part
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.validation import wrong_fields

M = TypeVar("M")

KNOWN_VERSION = 1
VERSION_MAX = 1_000
"""Larger numbers are not told."""
RECORD_BYTES_MAX = 2_500_000
"""The largest record that is read at all: what Refrain writes has 2,000,000 bytes at most. A compressed one counts by
its plain size, and each header has a cost of its own (`Record.plain_bytes`)."""


class Envelope(Part):
    """The envelope of forwards and completions: enough to tell the requester that the rest is wrong."""

    forward_id: Annotated[str, Field(min_length=1, max_length=128)]
    route: str


class _Versioned(Part):
    v: Any = KNOWN_VERSION


def is_too_large(record: Record) -> bool:
    """Whether a record is too large to be read at all."""
    return record.plain_bytes > RECORD_BYTES_MAX


def check_size(record: Record) -> None:
    """Check the size of a record before anything of it is read. Raises Refusal: TOO_LARGE, UNREADABLE."""
    if record.flaw is not None:
        raise Refusal(RefusalCode.UNREADABLE, record.flaw)
    if is_too_large(record):
        raise Refusal(
            RefusalCode.TOO_LARGE,
            f"the record has {record.plain_bytes} bytes with its headers; {RECORD_BYTES_MAX} are read",
        )


def read(value: bytes | None, decode: Callable[[bytes], M], *, bytes_max: int | None = None) -> M:
    """Decode the message in `value`, which is at most `bytes_max` bytes long.

    Raises Refusal: TOO_LARGE, UNREADABLE, TOO_DEEP, UNKNOWN_VERSION, or BAD_FIELD naming the fields
    without their values.
    """
    if value is None:
        raise Refusal(RefusalCode.UNREADABLE, "the record has no value")
    if bytes_max is not None and len(value) > bytes_max:
        raise Refusal(RefusalCode.TOO_LARGE, f"{len(value)} bytes; at most {bytes_max} are taken")
    try:
        return decode(value)
    except ValidationError as wrong:
        # Not chained: the original error holds the input, and this one is logged and kept.
        raise _refusal(value, wrong) from None


def envelope_of(value: bytes | None) -> Envelope | None:
    """The envelope of a message whose other fields are wrong; None when it cannot be decoded either."""
    if value is None:
        return None
    try:
        return Envelope.model_validate_json(value)
    except ValidationError:
        return None


def unknown_version(version: object) -> int | None:
    """The version of a message if this worker does not read it; else None."""
    return version if type(version) is int and version != KNOWN_VERSION else None


def unknown_version_of(value: bytes) -> int | None:
    """`unknown_version` of a message as bytes; None too for what is no message."""
    try:
        return unknown_version(_Versioned.model_validate_json(value).v)
    except ValidationError:
        return None


def of_unknown_version(version: int) -> Refusal:
    """The refusal of a message of a version that this worker does not read."""
    # A larger number is no version, and may be anything.
    named = f"version {version}" if 0 <= version < VERSION_MAX else "another version"
    return Refusal(RefusalCode.UNKNOWN_VERSION, f"{named}: this worker reads {KNOWN_VERSION}")


def _refusal(value: bytes, wrong: ValidationError) -> Refusal:
    if wrong.error_count() == 1:
        (only,) = wrong.errors(include_url=False, include_context=False, include_input=False)
        if only["type"] == "json_invalid":
            if "recursion limit" in only["msg"]:
                return Refusal(RefusalCode.TOO_DEEP, "JSON is nested too deep to be read")
            return Refusal(RefusalCode.UNREADABLE, f"not JSON: {only['msg'].removeprefix('Invalid JSON: ')}")
    version = unknown_version_of(value)
    if version is not None:
        return of_unknown_version(version)
    return Refusal(RefusalCode.BAD_FIELD, wrong_fields(wrong))
