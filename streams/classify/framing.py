"""What of a text an embedder does not see: beyond its window, or unknown to it.

A question is compared by a short head, and must be the same in all the rest: the more of two texts is the same, the
less a vector shows of what is not, and the mean of their parts hides one instruction among many pages. An answer is
only measured, and is embedded in parts, whose mean stands for the whole.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from refrain.streams.classify.exact_form import exact_form


class Sight(Protocol):
    """How far an embedder sees."""

    def head(self, text: str) -> str: ...

    def unread(self, text: str) -> tuple[str, ...]: ...


class FramedQuestion(NamedTuple):
    """A question as an embedder sees it."""

    head: str
    """What is embedded."""
    beyond: str = ""
    """All that follows the head, by its normal form."""
    unread: tuple[str, ...] = ()
    """Pieces of the head that do not reach its vector."""


def frame(text: str, sight: Sight) -> FramedQuestion:
    """The text where it lies inside the window; else its normal form, parted behind its head."""
    head = sight.head(text)
    if len(head) == len(text):
        return FramedQuestion(text, unread=sight.unread(text))
    whole = exact_form(text)
    head = head if whole == text else sight.head(whole)
    return FramedQuestion(head, whole[len(head) :], sight.unread(head))
