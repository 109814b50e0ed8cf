"""Words of guards: which of those that decided are the asker's own. The others are somebody else's: they are counted.

Decisions hold no word at all, nor a digest of one: so short a text is found by trying, whatever the hash, and a key
would have to lie in the journal, beside the texts themselves. Who may read those can weigh them again.
"""

from __future__ import annotations

from typing import NamedTuple

from refrain.schemas.decisions import Guarded
from refrain.schemas.responses import GuardTold
from refrain.streams.guards import MICROS
from refrain.streams.guards.verdict import Verdict


class GuardFinding(NamedTuple):
    """Finding of one guard on a question and a cached one: its verdict, and the asker's words in it."""

    id: str
    """The entry, or the forward of the question on its way."""
    verdict: Verdict
    own: tuple[str, ...] = ()

    @classmethod
    def of(cls, id_: str, verdict: Verdict, asked: str, cached: str) -> GuardFinding:
        """The finding of a verdict on these two texts."""
        return cls(id_, verdict, tuple([word for word in verdict.words if is_own(word, asked, cached)]))

    @property
    def other_words(self) -> int:
        """Words that are not the asker's own."""
        return len(self.verdict.words) - len(self.own)

    def counted(self) -> Guarded:
        """The verdict as decisions hold it: without words of the texts."""
        verdict = self.verdict
        return Guarded.trusted(
            entry_id=self.id,
            guard=verdict.guard,
            verdict=verdict.verdict,
            own_words=len(self.own),
            other_words=self.other_words,
            weight=verdict.weight / MICROS,
        )

    def told(self) -> GuardTold:
        """The verdict as the response holds it: with the words of the question."""
        verdict = self.verdict
        return GuardTold.trusted(
            entry_id=self.id,
            guard=verdict.guard,
            verdict=verdict.verdict,
            words=self.own,
            other_words=self.other_words,
            weight=verdict.weight / MICROS,
        )


def is_own(word: str, asked: str, cached: str) -> bool:
    """Whether a word that decided is of the text that was asked.

    A piece of one of its words that the cached text also has is not: 1 says nothing of 1.5, and may be the other's.
    """
    return word in asked and (word not in cached or _stands_alone(word, asked))


def _stands_alone(word: str, text: str) -> bool:
    at = text.find(word)
    while at >= 0:
        if not _joined(text[max(0, at - 2) : at][::-1]) and not _joined(text[at + len(word) : at + len(word) + 2]):
            return True
        at = text.find(word, at + 1)
    return False


def _joined(beside: str) -> bool:
    """Whether the next two characters beside a word make it a piece of a longer one."""
    return beside[:1].isalnum() or (len(beside) == 2 and not beside[0].isspace() and beside[1].isalnum())
