"""What is wrong with a message, in words that quote nothing of it: they go to logs, dead letters and requesters.

pydantic's errors hold the value that they are about, and some of their messages quote it. What is told here is the
place and the kind of an error, and of the message what is the same for every value.
"""

from __future__ import annotations

import re
import traceback

from pydantic import ValidationError

from refrain.streams.errors import Refusal, RefusalCode

PROBLEMS_MAX = 5
"""Wrong fields that one text names."""
PROBLEMS_LISTED_MAX = 100
"""Wrong fields of which some are named: to list millions takes seconds."""
PLAIN = frozenset(
    """
    bool_parsing bool_type bytes_type dict_type enum extra_forbidden finite_number float_parsing float_type
    greater_than greater_than_equal int_from_float int_parsing int_parsing_size int_type json_invalid json_type
    less_than less_than_equal list_type literal_error missing model_attributes_type model_type none_required
    recursion_loop string_pattern_mismatch string_too_long string_too_short string_type
    string_unicode too_long too_short tuple_type
    """.split()
)
"""Kinds of errors whose messages say nothing of the value but its length, and what the model asks for."""
_IN_WORDS = {"union_tag_invalid": "not one of the known kinds", "value_error": "not as it must be"}
_STEP = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")


def wrong_fields(error: ValidationError) -> str:
    """The fields that are wrong, and how, without their values."""
    count = error.error_count()
    if count > PROBLEMS_LISTED_MAX:
        return f"{count} fields are wrong"
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    named = [f"{place(each['loc'])}: {_wrong(each['type'], each['msg'])}" for each in problems[:PROBLEMS_MAX]]
    more = count - PROBLEMS_MAX
    return "; ".join(named) + (f"; and {more} more" if more > 0 else "")


def refused_fields(refusal: Refusal) -> list[str]:
    """The fields that a refusal names, for logs: a reason of `bad_field` begins with each of them and a colon."""
    if refusal.code is not RefusalCode.BAD_FIELD:
        return []
    heads = (part.partition(": ") for part in refusal.text.split("; "))
    return [head for head, colon, _ in heads if colon and _STEP.fullmatch(head)][:PROBLEMS_MAX]


def place(loc: tuple[int | str, ...]) -> str:
    """Where an error is. A step that is no name may be text of a user, as a key, and is not told."""
    steps = [str(step) for step in loc]
    return ".".join(step if _STEP.fullmatch(step) else "(a key)" for step in steps) or "message"


def without_quotes(error: BaseException) -> str:
    """Any error without its message, which may quote: its kind, and the fields or the place in the code."""
    kind = type(error).__name__
    if isinstance(error, ValidationError):
        return f"{kind}: {wrong_fields(error)}"
    frames = traceback.extract_tb(error.__traceback__)
    return f"{kind} in {frames[-1].name}" if frames else kind


def _wrong(kind: str, message: str) -> str:
    return message if kind in PLAIN else _IN_WORDS.get(kind, kind.replace("_", " "))
