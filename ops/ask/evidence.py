"""Sentences of a decision's evidence: what each guard found, and what it weighs, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def sentences(guards: Sequence[Mapping[str, Any]], head_weight: float | None = None) -> Iterator[str]:
    """One sentence for each guard that found a difference or did not apply; one that passed has nothing to say.

    And one for what the trained head takes off, where the category has one that compared the texts.
    """
    for each in guards:
        said = _sentence(each)
        if said:
            yield f"{each['guard']}: {said}"
    if head_weight is not None:
        yield f"head: {_head_sentence(head_weight)}"


def _head_sentence(weight: float) -> str:
    return f"it reads the texts as different by {weight:.3f}" if weight else "it reads the texts as asking the same"


def _sentence(guard: Mapping[str, Any]) -> str:
    words = ", ".join(guard.get("words", ()))
    match guard["verdict"]:
        case "refused":
            return f"the texts differ in {words}, which decides" if words else "the texts differ in what is not read"
        case "weighed" if guard.get("weight"):
            return f"the texts differ in {words}, which takes {guard['weight']:.3f} off"
        case "weighed":
            return f"the texts differ in {words}; they are worded too differently for it to count"
        case "not_applicable":
            return "it does not read the language of one of the texts"
    return ""
