"""What YAML would take for something else than was meant, or never end with, is refused with its line."""

from __future__ import annotations

import pytest

from refrain.ops.policies.file import read_policy
from refrain.ops.policies.yaml_text import DEPTH_MAX
from refrain.streams.errors import BadInput

A = "categories:\n  a:\n"
LAUGHS = "".join(
    f"{letter}: &{letter} [{', '.join([f'*{before}'] * 9) if before else '1, 1'}]\n"
    for before, letter in zip([None, *"abcdefghijk"], "abcdefghijkl", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("categories: &x\n  a: *x\n", "p.yaml:1: what an alias names here stands in itself"),
        ("categories:\n  a: {guards: &g [*g]}\n", "p.yaml:2: what an alias names here stands in itself"),
        (LAUGHS + "categories: {}\n", "aliases repeat this until it has more than"),
        ("[" * 100_000, f"p.yaml:1: not YAML: more than {DEPTH_MAX} tables or lists"),
        ("categories: " + "{a: " * 3_000, f"more than {DEPTH_MAX} tables or lists"),
        ("".join("  " * depth + "a:\n" for depth in range(DEPTH_MAX + 5)), f"more than {DEPTH_MAX} tables or lists"),
        ("".join("  " * depth + "a:\n" for depth in range(1_500)), f"more than {DEPTH_MAX} tables or lists"),
        (A + "    threshold: 2024-13-45\n", "p.yaml:3: not YAML: '2024-13-45' is no timestamp"),
        (A + "    threshold: " + "9" * 5_000, "p.yaml:3: not YAML: '99999"),
        (A + "    threshold: !!int abc\n", "p.yaml:3: not YAML: 'abc' is no int"),
        (A + "    threshold: !!bool x\n", "p.yaml:3: not YAML: 'x' is no bool"),
        (A + "    threshold: !!timestamp x\n", "p.yaml:3: not YAML: 'x' is no timestamp"),
        (A + "    threshold: !!python/object/apply:os.system ['true']\n", "p.yaml:3: not YAML: could not determine"),
        (A + "    ttl_ms: 1:30:00\n", "p.yaml:3: not YAML: 1:30:00 would be read to base 8 or 60"),
        (A + "    ttl_ms: -0010\n", "p.yaml:3: not YAML: -0010 would be read to base 8 or 60"),
        (A + "    threshold: 0:0.9\n", "p.yaml:3: not YAML: 0:0.9 would be read to base 8 or 60"),
        (A + "\x07", "p.yaml:3: not YAML: character #x0007 is none of a text"),
        (A + "    # \ud800", "p.yaml:3: not YAML: character #xd800 is none of a text"),
        ("categories: {a: {}}\x00", "p.yaml:1: not YAML: character #x0000 is none of a text"),
        ("categories: {}\n---\ncategories: {}\n", "p.yaml:2: not YAML: but found another document"),
        ("categories:\n  ? [a]\n  : {}\n", "p.yaml:2: not YAML: found unhashable key"),
        (A + "    <<: 3\n", "p.yaml:3: not YAML: expected a mapping"),
        (A + "    threshold: yes\n", "p.yaml:3: categories.a.threshold: expected a number (it is true)"),
        (A + "    quota: {guaranteed: off}\n", "3: categories.a.quota.guaranteed: expected a number (it is false)"),
        (A + "    slices: on\n", "p.yaml:3: categories.a.slices: expected a number (it is true)"),
        (A + "    guards: numbers\n", "p.yaml:3: categories.a.guards: expected a list (it is 'numbers')"),
        ("categories: [a]\n", "p.yaml:1: categories: expected a table, that is keys with values"),
        ("categories:\n  a: x\n", "p.yaml:2: categories.a: expected a table, that is keys with values (it is 'x')"),
        ("categories:\n  1: {}\n", "p.yaml:2: categories[1]: expected a text: put it in quotes"),
        ("categories:\n  a b: {}\n", "p.yaml:2: categories.a b: a name is 1 to 64 letters"),
        ('categories: {"\\ud800": {}}\n', "holds half of a surrogate pair"),
        ("categories: {}\ntenants: {x: {waitin: 1}}\n", "tenants.x.waitin: no such key; did you mean waiting?"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_line(text: str, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_policy(text, "p.yaml")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "categories: {a: {threshold: 0.9}}",
        '{"categories": {"a": {"threshold": 0.9}}}',
        "categories:\r\n  a:\r\n    threshold: 0.9\r\n",
        "\ufeffcategories: {a: {threshold: 0.9}}\n",
        "--- # a document\ncategories: {a: {threshold: 9.0e-1}}\n...\n",
        "categories: {a: {threshold: '0.9', coalesce: off}}",
        "categories:\n  b: &b {threshold: 0.9}\n  a: *b\n",
        "categories:\n  b: &b {threshold: 0.95, ttl_ms: 1_000}\n  a: {<<: *b, threshold: 0.9}\n",
        "categories:\n  b: &b {threshold: 0.9}\n  a:\n    <<: [*b]\n",
        "categories:\n  a: {threshold: 0.90, ttl_ms: 0xFF}\n  '1': {}\n  'null': {}\n",
        "%YAML 1.1\n---\ncategories: {? a : {? threshold : 0.9}}\n",
    ],
)
def test_what_is_odd_and_right_is_taken(text: str) -> None:
    assert read_policy(text, "p.yaml").categories["a"].threshold == 0.9
