"""Asks for labels in a terminal, one key a judgement. Keys and output come in as functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from refrain.ops.hits.texts import HitPair
from refrain.streams import guards

SAME, DIFFERENT, SKIP, QUIT, HELP = "y", "n", "s", "q", "?"
KEYS = {
    SAME: "the same: the answer to the kept question answers this one",
    DIFFERENT: "not the same: it would be a wrong answer",
    SKIP: "skip it: it is asked again another time",
    QUIT: "quit: what was judged is kept",
    HELP: "these keys",
}
INTERRUPTS = ("\x03", "\x04", "\x1b", "")
"""Ctrl-C, Ctrl-D and Escape where the terminal gives them as keys, and the end of the input."""


def ask_labels(
    pairs: Sequence[HitPair], key: Callable[[], str], say: Callable[[str], None], *, judged: int = 0
) -> Iterator[tuple[HitPair, bool]]:
    """Yield each pair that is judged, with its label, as soon as it is; ends when all were shown or with `q`.

    `judged` is how many were before, for the progress that is shown.
    """
    same = different = 0
    for number, pair in enumerate(pairs, 1):
        before = f", {judged} before" if judged else ""
        say(f"\n{number} of {len(pairs)} ({same} the same, {different} not{before})")
        say(show(pair))
        pressed = _pressed(key, say)
        if pressed == QUIT:
            return
        if pressed in (SAME, DIFFERENT):
            same, different = same + (pressed == SAME), different + (pressed == DIFFERENT)
            yield pair, pressed == SAME


def show(pair: HitPair) -> str:
    """A pair for people."""
    decision = pair.decision
    said = f"{decision.category}, similarity {decision.similarity:.4f}, threshold {decision.threshold:g}"
    lines = [f"{said}, {decision.reason}", f"  asked: {printable(pair.text_a)}", f"  kept:  {printable(pair.text_b)}"]
    return "\n".join([*lines, *(f"  {line}" for line in _differences(pair))])


def _differences(pair: HitPair) -> Iterator[str]:
    """The words in which guards see the texts differ, a line a guard: decisions only count them."""
    found = guards.weigh(guards.GuardTerms(), guards.read(pair.text_a), guards.read(pair.text_b))
    for verdict in found.verdicts:
        if verdict.words:
            yield f"{verdict.guard} differ in {', '.join(printable(word) for word in verdict.words)}"


def printable(text: str) -> str:
    """A text without what would steer the terminal: other people wrote it."""
    return "".join(
        each if each.isprintable() else " " if each.isspace() else "\N{REPLACEMENT CHARACTER}" for each in text
    )


def _pressed(key: Callable[[], str], say: Callable[[str], None]) -> str:
    say(f"  the same question? [{'/'.join(KEYS)}]")
    while True:
        pressed = key()
        if pressed in INTERRUPTS:
            return QUIT
        if pressed.lower() in KEYS and pressed != HELP:
            return pressed.lower()
        for each, meaning in KEYS.items():
            say(f"    {each}  {meaning}")
