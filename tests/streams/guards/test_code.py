from __future__ import annotations

import pytest

from refrain.schemas.policy import Guard
from tests.streams.guards.verdicts import refuses


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("git push --force", "git push --force-with-lease"),
        ("ls -r", "ls -R"),
        ("what is ==", "what is ==="),
        ("a && b", "a || b"),
        ("what is user_id", "what is userId"),
        ("call getUser", "call getuser"),
        ("run `ls -l`", "run `ls -a`"),
        ('print "Hi"', 'print "hi"'),
        ("x < y", "x > y"),
        ("return x + 1", "return x - 1"),
        ("use np.zeros", "use np.ones"),
        ("怎么用 foo_bar", "怎么用 foo_baz"),
    ],
)
def test_other_code_is_refused(a: str, b: str) -> None:
    assert refuses(Guard.CODE, a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("learn JavaScript", "learn javascript"),
        ("use iPhone", "use iphone"),
        ("run `ls -l`", "run ls -l"),
        ("list.append", "list.append()"),
        ('what does "fake it till you make it" mean', "what does Fake it till you make it mean"),
        ("and/or", "and or"),
        ("15% of it", "15 percent of it"),
        ("a well-known film", "a well known film"),
        ("rock & roll", "rock and roll"),
    ],
)
def test_the_same_code_passes(a: str, b: str) -> None:
    assert not refuses(Guard.CODE, a, b)
