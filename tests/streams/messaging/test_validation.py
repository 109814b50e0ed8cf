"""What is wrong with a message is told without anything of it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError, field_validator
from pydantic_core import PydanticKnownError

from refrain.schemas.base import Message
from refrain.schemas.control import decode_command
from refrain.schemas.documents import Entry
from refrain.schemas.forwards import Completion
from refrain.schemas.journal import decode_event
from refrain.schemas.load import LoadSample
from refrain.schemas.policy import Policy
from refrain.schemas.requests import Request
from refrain.schemas.responses import Response
from refrain.streams.messaging.validation import PLAIN, without_quotes, wrong_fields

TEXT = "Zebra Kowalski 184,500"
OF_THE_MODEL: dict[str, Any] = {
    "actual_length": 1, "class_name": "c", "error": "e", "expected": "x", "field_type": "List", "max_length": 1,
    "min_length": 1, "pattern": "p", **dict.fromkeys(("ge", "gt", "le", "lt"), 1),
}  # fmt: skip
"""What messages of plain kinds are made with: what a model asks for, lengths, and where JSON ends to be JSON."""
MODELS: list[type[Message]] = [Request, Response, Completion, LoadSample, Entry]


class Checked(BaseModel):
    """A model whose own check quotes the value."""

    name: str

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        raise ValueError(f"{name} is not known")


def test_a_check_that_quotes_the_value_is_not_quoted() -> None:
    with pytest.raises(ValidationError) as caught:
        Checked(name=TEXT)
    assert wrong_fields(caught.value) == "name: not as it must be"
    assert TEXT not in without_quotes(caught.value)


def test_a_key_that_is_no_name_is_not_quoted() -> None:
    with pytest.raises(ValidationError) as caught:
        Policy.model_validate({"categories": {TEXT: {"threshold": "much"}}})
    assert TEXT not in wrong_fields(caught.value)
    assert "threshold" in wrong_fields(caught.value)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_field_of_a_message_is_quoted_whatever_stands_in_it(model: type[Message]) -> None:
    for wrong in (TEXT, [TEXT], {TEXT: TEXT}, 1.5):
        value = json.dumps(dict.fromkeys(model.model_fields, wrong))
        with pytest.raises(ValidationError) as caught:
            model.decode(value)
        assert "Zebra" not in wrong_fields(caught.value)


@given(
    st.recursive(st.just(TEXT) | st.none() | st.integers(), lambda each: st.dictionaries(st.text(), each), max_leaves=5)
)
def test_nor_of_an_event_or_a_command(value: Any) -> None:
    for decode in (decode_event, decode_command):
        with pytest.raises(ValidationError) as caught:
            decode(json.dumps({"kind": TEXT, "v": value}).encode())
        assert "Zebra" not in wrong_fields(caught.value)


@pytest.mark.parametrize("kind", sorted(PLAIN))
def test_a_plain_kind_says_what_the_model_asks_for_and_nothing_of_the_value(kind: Any) -> None:
    template = PydanticKnownError(kind, OF_THE_MODEL).message_template
    asked = set(re.findall(r"\{(\w+)\}", template))
    assert asked <= OF_THE_MODEL.keys() | {"expected_plural"}


def test_an_error_of_the_program_is_told_by_its_kind_and_place() -> None:
    def fails() -> None:
        raise KeyError(TEXT)

    with pytest.raises(KeyError) as caught:
        fails()
    assert without_quotes(caught.value) == "KeyError in fails"
