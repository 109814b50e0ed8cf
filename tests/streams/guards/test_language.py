from __future__ import annotations

import pytest

from refrain.schemas.policy import Guard
from refrain.streams.guards import read
from tests.streams.guards.verdicts import detect, verdict


@pytest.mark.parametrize("text", ["Why?", "python sort list", "reset password", "2+2", "hi", "café prices", "", "🙂"])
def test_short_and_wordless_texts_count_as_english(text: str) -> None:
    assert read(text).english


@pytest.mark.parametrize(
    "text",
    [
        "Wie setze ich mein Passwort zurück?",
        "Comment réinitialiser mon mot de passe ?",
        "¿Cómo restablezco mi contraseña?",
        "Как сбросить пароль?",
        "如何重置密码?",
        "كيف أعيد تعيين كلمة المرور؟",
        "パスワードをリセットするには?",
    ],
)
def test_other_languages_do_not(text: str) -> None:
    assert not read(text).english


def test_guards_of_english_words_do_not_apply_to_other_languages_and_the_others_do() -> None:
    a, b = "Как включить свет?", "Как выключить свет?"
    said = {v.guard: v.verdict for v in detect(tuple(Guard), read(a), read(b))}
    for guard in (Guard.NEGATION, Guard.ORDER, Guard.QUESTION):
        assert said[guard] == "not_applicable"
    for guard in (Guard.NUMBERS, Guard.NAMES, Guard.CODE):
        assert said[guard] == "passed"


def test_one_text_of_another_language_is_enough() -> None:
    assert verdict(Guard.NEGATION, "reset the password", "как сбросить пароль") == "not_applicable"
