from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.streams.guards.stems import related, stem


@pytest.mark.parametrize(
    "forms",
    [
        "make makes making made",
        "create creates creating created",
        "stop stops stopping stopped",
        "install installs installing installed",
        "cancel cancelled canceled cancelling",
        "query queries",
        "child children",
        "organise organize organising organized",
        "colour color colours",
        "centre center",
        "delete deleting deleted",
        "sort sorts sorting sorted",
        "write wrote written writing",
        "go goes went going",
        "shoe shoes",
        "potato potatoes",
        "ski skis",
        "scarf scarves",
    ],
)
def test_forms_of_a_word_share_a_stem(forms: str) -> None:
    assert len({stem(form) for form in forms.split()}) == 1


@pytest.mark.parametrize(
    "words", ["file fill", "plan plane", "hat hate", "star stare", "hop hope", "car care", "new news"]
)
def test_other_words_do_not(words: str) -> None:
    a, b = words.split()
    assert stem(a) != stem(b)


def test_nouns_of_actions_are_related_and_look_alikes_are_not() -> None:
    assert related(stem("configure"), stem("configuration"))
    assert related(stem("install"), stem("installation"))
    assert not related(stem("policy"), stem("police"))
    assert not related(stem("universe"), stem("university"))
    assert not related(stem("organ"), stem("organic"))


@given(st.text(max_size=60), st.text(max_size=60))
def test_stemming_never_raises_and_relation_is_symmetric(a: str, b: str) -> None:
    assert related(stem(a), stem(b)) == related(stem(b), stem(a))
