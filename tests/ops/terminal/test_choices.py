"""A value that is not in the list is refused with the one that was probably meant."""

from __future__ import annotations

import pytest
import typer

from refrain.ops.terminal.choices import NAMED_MAX, check_choice, one_of, suggestion
from refrain.streams.errors import RefusalCode
from refrain.streams.nearest import nearest

KNOWN = ("code", "chat", "medical")


@pytest.mark.parametrize(
    ("given", "meant"), [("cod", "code"), ("CHAT", "chat"), ("medcial", "medical"), ("zzz", None), ("", None)]
)
def test_the_nearest_is_found(given: str, meant: str | None) -> None:
    assert nearest(given, KNOWN) == meant


def test_a_refusal_suggests_or_lists() -> None:
    check_choice("code", KNOWN)
    with pytest.raises(typer.BadParameter, match="is no category: did you mean 'medical'"):
        check_choice("medcial", KNOWN, "category")
    with pytest.raises(typer.BadParameter, match="choose from chat, code, medical"):
        check_choice("zzz", KNOWN)
    assert suggestion("zzz", map(str, range(NAMED_MAX + 1))).endswith(", …")
    assert suggestion("zzz", ()) == ""
    assert suggestion("bad_feld", RefusalCode) == "did you mean 'bad_field'?"


def test_a_callback_checks_one_many_or_none() -> None:
    check = one_of(KNOWN)
    assert check(None) is None
    assert check("code") == "code"
    assert check(["code", "chat"]) == ["code", "chat"]
    with pytest.raises(typer.BadParameter):
        check(["code", "chta"])
