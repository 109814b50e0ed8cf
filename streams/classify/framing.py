"""Frames a question for an embedder: the head that is embedded, and what of the text is not in its vector.

A question is compared by a short head, and must be the same in all the rest: the more of two texts is the same, the
less a vector shows of what is not, and the mean of their parts hides one instruction among many pages.

What was typed is compared by guards, and by the exact match; the head is embedded with common words spelled rightly.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from refrain.streams.classify.exact_form import exact_form
from refrain.streams.classify.hidden_text import hidden_text
from refrain.streams.guards.spelling import put_right


class Window(Protocol):
    """The window of an embedder, and what it does not read in it (see `Embedder`)."""

    def fits(self, text: str) -> bool: ...

    def head(self, text: str) -> str: ...

    def unread(self, text: str) -> tuple[str, ...]: ...


class FramedQuestion(NamedTuple):
    """A question as an embedder sees it."""

    head: str
    """What is embedded: slips of common words are put right."""
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
        return FramedQuestion(_read(text, window), unread=window.unread(text), hidden=hidden_text(text))
    whole = exact_form(text)
    head = head if whole == text else window.head(whole)
    return FramedQuestion(_read(head, window), whole[len(head) :], window.unread(head), hidden_text(head))


def _read(head: str, window: Window) -> str:
    """The head as it is embedded: a model has no meaning for a slip, and what it reads must fit all the same."""
    meant = put_right(head)
    return meant if meant is head or window.fits(meant) else head
