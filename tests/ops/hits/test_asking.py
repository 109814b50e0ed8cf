"""Labels by keys."""

from __future__ import annotations

import pytest

from refrain.ops.hits.asking import ask_labels, printable
from refrain.ops.hits.near import NearDecision
from refrain.ops.hits.texts import HitPair


def pair(question: str) -> HitPair:
    return HitPair(question, "kept", NearDecision("0-1-x", 0, 1, "code", "e", 0.91, 0.9, "similar_text", True))


def asked(keys: list[str], *questions: str, judged: int = 0) -> tuple[list[tuple[str, bool]], list[str]]:
    """What is labelled how by these keys, and what is said."""
    said: list[str] = []
    left = iter(keys)
    found = ask_labels([pair(each) for each in questions], lambda: next(left), said.append, judged=judged)
    return [(each.text_a, same) for each, same in found], said


def test_one_key_is_a_judgement_and_a_skipped_pair_has_none() -> None:
    assert asked(["y", "s", "N"], "a", "b", "c")[0] == [("a", True), ("c", False)]


@pytest.mark.parametrize("key", ["q", "Q", "\x03", "\x04", "\x1b", ""])
def test_whoever_quits_keeps_what_was_judged(key: str) -> None:
    assert asked(["y", key], "a", "b", "c")[0] == [("a", True)]


def test_other_keys_tell_the_keys_and_wait_for_one_of_them() -> None:
    found, said = asked(["?", "x", "\x1b[A", "n"], "a")
    assert found == [("a", False)]
    assert sum("y  the same" in line for line in said) == 3


def test_progress_similarity_threshold_and_reason_are_shown() -> None:
    said = "\n".join(asked(["y", "n", "s"], "a", "b", "c", judged=7)[1])
    assert "1 of 3 (0 the same, 0 not, 7 before)" in said
    assert "3 of 3 (1 the same, 1 not, 7 before)" in said
    assert "code, similarity 0.9100, threshold 0.9, similar_text" in said


def test_the_words_in_which_guards_see_the_texts_differ_are_shown() -> None:
    said = "\n".join(asked(["y"], "Who pays 1,500 to Harris?")[1])
    assert "numbers differ in 1,500" in said
    assert "names differ in Harris" in said


def test_a_judgement_is_there_as_soon_as_it_is_made() -> None:
    keys: list[str] = ["y"]
    found = ask_labels([pair("a"), pair("b")], lambda: keys.pop(), lambda line: None)
    assert next(found)[1]
    keys.append("n")
    assert not next(found)[1]


def test_texts_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\nc\td\u202ee é 你") == "a\ufffd[2Jb c d\ufffde é 你"
