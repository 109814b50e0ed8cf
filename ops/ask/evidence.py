"""Sentences of a decision's evidence: what each guard found, and what it weighs, for whoever asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from refrain.schemas.responses import GuardTold


def sentences(guards: Sequence[GuardTold], head_weight: float | None = None) -> Iterator[str]:
    """One sentence for each guard that found a difference or did not apply; one that passed has nothing to say.

    And one for what the trained head takes off, where the category has one that compared the texts.
    """
    for each in guards:
        said = _sentence(each)
        if said:
            yield f"{each.guard}: {said}"
    if head_weight is not None:
        yield f"head: {_head_sentence(head_weight)}"


def _head_sentence(weight: float) -> str:
    return f"it reads the texts as different by {weight:.3f}" if weight else "it reads the texts as asking the same"


def _sentence(guard: GuardTold) -> str:
    words = _words(guard)
    match guard.verdict:
        case "refused":
            return f"the texts differ in {words}, which decides" if words else "the texts differ in what is not read"
        case "weighed" if guard.weight:
            if not words:
                return f"the texts are worded differently, which takes {guard.weight:.3f} off"
            return f"the texts differ in {words}, which takes {guard.weight:.3f} off"
        case "weighed":
            return f"the texts differ in {words}; they are worded too differently for it to count"
        case "not_applicable":
            return "it does not read the language of one of the texts"
        case "passed":
            return ""


def _words(guard: GuardTold) -> str:
    """The words of the question, and how many of the other one there are."""
    others = guard.other_words
    counted = (f"{others} word{'s' if others > 1 else ''} of the other question",) if others else ()
    return ", ".join((*guard.words, *counted))
