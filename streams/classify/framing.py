"""Frames a question for an embedder: the head that is embedded, and what of the text is not in its vector.

A question is compared by a short head, and must be the same in all the rest: the more of two texts is the same, the
less a vector shows of what is not, and the mean of their parts hides one instruction among many pages.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from refrain.streams.classify.exact_form import exact_form
from refrain.streams.classify.hidden_text import hidden_text


class Window(Protocol):
    """The window of an embedder, and what it does not read in it (see `Embedder`)."""

    def head(self, text: str) -> str: ...

    def unread(self, text: str) -> tuple[str, ...]: ...


class FramedQuestion(NamedTuple):
    """A question as an embedder sees it."""

    head: str
    """What is embedded."""
    beyond: str = ""
    """All that follows the head, in exact form."""
    unread: tuple[str, ...] = ()
    """Pieces of the head that do not reach its vector."""
    hidden: tuple[str, ...] = ()
    """Runs of characters in the head that people do not see, whether they reach its vector or not."""


def frame(text: str, window: Window) -> FramedQuestion:
    """Frame a text: whole where it fits the window; else its exact form, cut behind the head."""
    head = window.head(text)
    if len(head) == len(text):
        return FramedQuestion(text, unread=window.unread(text), hidden=hidden_text(text))
    whole = exact_form(text)
    head = head if whole == text else window.head(whole)
    return FramedQuestion(head, whole[len(head) :], window.unread(head), hidden_text(head))
