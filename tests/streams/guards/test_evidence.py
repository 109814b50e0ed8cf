"""What differences weigh, by overlap, strictness and the policy's vetoes; and languages without word lists."""

from __future__ import annotations

import pytest

from refrain.schemas.policy import Guard, Strictness
from refrain.streams.guards import Evidence, GuardTerms, read, weigh

APART = ("Did Harris pay for the coffee?", "Who of them was it that paid the bill at Starbucks?")
"""Worded otherwise: what differs does not decide."""
FRAMED = ("How many people live in Harris county?", "How many people live in Travis county?")


def found(a: str, b: str, terms: GuardTerms = GuardTerms()) -> Evidence:  # noqa: B008 - frozen
    return weigh(terms, read(a), read(b))


def test_a_name_that_differs_decides_in_a_frame_alone() -> None:
    framed, apart = found(*FRAMED), found(*APART, GuardTerms((Guard.NAMES,)))
    assert framed.refused is Guard.NAMES
    assert framed.overlap.letters >= 500 > apart.overlap.letters
    assert (apart.refused, apart.penalty) == (None, 0)
    assert [each.verdict for each in apart.verdicts] == ["weighed"]
    assert "Harris" in apart.verdicts[0].words


def test_what_is_weighed_comes_off_the_similarity() -> None:
    a, b = "How do I bake bread without an oven?", "How do I bake a cake without an oven?"
    evidence = found(a, b, GuardTerms((Guard.NAMES,)))
    assert evidence.refused is None
    assert evidence.penalty == sum(each.weight for each in evidence.verdicts) > 0
    assert evidence.score(0.95) == 950_000 - evidence.penalty


def test_other_words_weigh_whatever_their_differences_do_and_words_that_are_accounted_for_do_not() -> None:
    apart = found(*APART)
    assert [(each.guard, each.weight) for each in apart.verdicts if each.weight] == [(Guard.WORDING, 50_000)]
    accounted = found("How do I organise a small kitchen?", "Hi, how can I organize a small kitchen please?")
    assert accounted.penalty == 0
    assert accounted.verdicts[-1].guard is Guard.WORDING


def test_other_words_are_weighed_behind_all_other_guards_however_they_are_named() -> None:
    first = GuardTerms((Guard.WORDING, Guard.NAMES))
    assert found(*APART, first) == found(*APART, GuardTerms((Guard.NAMES, Guard.WORDING)))
    assert found(*APART, first._replace(veto=(Guard.WORDING,))).refused is Guard.WORDING


def test_strict_weighs_twice_and_more_and_lenient_half() -> None:
    a, b = "How do I bake bread without an oven?", "How do I bake a cake without an oven?"
    penalties = {
        each: found(a, b, GuardTerms((Guard.NAMES,), strictness=each)).penalty
        for each in (Strictness.STRICT, Strictness.NORMAL, Strictness.LENIENT)
    }
    assert penalties[Strictness.STRICT] >= 2 * penalties[Strictness.NORMAL]
    assert penalties[Strictness.LENIENT] < penalties[Strictness.NORMAL]


def test_a_guard_may_be_a_veto_however_the_texts_are_worded() -> None:
    assert found(*APART, GuardTerms(veto=(Guard.NAMES,), guards=(Guard.NAMES,))).refused is Guard.NAMES


def test_equal_texts_overlap_wholly_and_texts_without_a_letter_in_common_not_at_all() -> None:
    assert found("How?", "How?").overlap[:2] == (1000, 1000)
    assert found("abcd", "xyz").overlap[:2] == (0, 0)


FRAME = GuardTerms(unverified="frame")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Wie setze ich mein Passwort zurück?", "Was muss ich tun, wenn ich das Kennwort vergessen habe?"),
        ("Comment réinitialiser mon mot de passe ?", "Que faire quand on ne se souvient plus de son code secret ?"),
        ("¿Cómo restablezco mi contraseña?", "¿Qué hago para recuperar el acceso si olvidé la clave?"),
        ("Como posso redefinir minha senha?", "O que você faz para recuperar o acesso da conta?"),
        ("如何重置密码?", "忘记了登录口令该怎么办?"),
    ],
)
def test_questions_of_a_language_without_word_lists_hit_by_meaning_under_frame(a: str, b: str) -> None:
    met = found(a, b, FRAME)
    assert met.refused is None
    assert [each.guard for each in met.verdicts if each.weight] == [Guard.WORDING]
    assert found(a, b).refused is not None


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Wie schalte ich das Licht ein?", "Wie schalte ich das Licht aus?"),
        ("Comment ouvrir un compte épargne ?", "Comment fermer un compte épargne ?"),
        ("¿Cómo abro una cuenta de ahorro?", "¿Cómo cierro una cuenta de ahorro?"),
        ("如何打开深色模式?", "如何关闭深色模式?"),
        ("Wie viel sind 15 % von 200 Euro?", "Wie viel sind 25 % von 200 Euro?"),
    ],
)
def test_a_word_or_a_number_that_differs_in_a_frame_refuses_in_every_language(a: str, b: str) -> None:
    assert found(a, b, FRAME).refused is not None


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("How do I reset my password?", "Wie setze ich mein Passwort zurück?"),
        ("Wie setze ich mein Passwort zurück?", "Comment réinitialiser mon mot de passe ?"),
        ("如何重置密码?", "How do I reset my password?"),
        ("如何重置密码?", "Как сбросить пароль?"),
    ],
)
def test_a_pair_of_two_languages_never_hits(a: str, b: str) -> None:
    assert found(a, b, FRAME).refused is not None
    assert found(b, a, FRAME).refused is not None
