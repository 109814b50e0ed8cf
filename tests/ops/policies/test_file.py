"""Policies as files: read whole, mistakes named by line and key, changes told."""

from __future__ import annotations

import pytest
import yaml

from refrain.ops.policies import file
from refrain.ops.policies.diff import changes
from refrain.ops.policies.file import children_of, read_policy, write_policy
from refrain.schemas.policy import POLICY_BYTES_MAX, POLICY_PARTS_MAX, CategoryPolicy, ModelPolicy, Policy, Quota
from refrain.schemas.policy_limits import TenantLimits
from refrain.schemas.policy_rules import Match, Rule
from refrain.streams.errors import BadInput

GOOD = """\
categories:
  code:
    threshold: 0.9
    ttl_ms: 604800000
  medical: {cache: never}
rules:
  - when: {pattern: "(?i)patient"}
    category: medical
"""


def mistakes(text: str) -> list[str]:
    """What is said of a file that is wrong, line by line."""
    with pytest.raises(BadInput) as caught:
        read_policy(text, "p.yaml")
    return [line.strip().removeprefix("p.yaml:") for line in str(caught.value).splitlines()[1:]]


def test_a_good_file_is_read() -> None:
    policy = read_policy(GOOD, "p.yaml")
    assert policy.categories["code"].threshold == 0.9
    assert policy.rules[0].category == "medical"


@pytest.mark.parametrize("part", ["categories", "tenants"])
def test_a_policy_of_more_than_a_record_takes_is_refused_before_it_is_sent(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "POLICY_BYTES_MAX", 20_000)
    rows = "".join(f"  name-{number}: {{}}\n" for number in range(200))
    text = f"{part}:\n{rows}" + ("" if part == "categories" else "categories:\n  code: {}\n")
    with pytest.raises(BadInput, match=r"takes \d+ bytes"):
        read_policy(text, "p.yaml")


def test_a_policy_written_out_reads_back_as_the_same() -> None:
    policy = read_policy(GOOD, "p.yaml")
    assert read_policy(write_policy(policy), "again") == policy


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("threshold: 0.9", "threshold: 1.9", "3: categories.code.threshold: input should be less than or equal to 1"),
        (
            "ttl_ms: 604800000",
            "ttl_ms: soon",
            "4: categories.code.ttl_ms: must be a whole number of milliseconds",
        ),
        ("threshold: 0.9", "treshold: 0.9", "3: categories.code.treshold: no such key; did you mean threshold?"),
        (
            "threshold: 0.9",
            "threshold_floor: 0.95",
            "3: categories.code.threshold_floor: is above threshold, which is 0.87 (it is 0.95)",
        ),
        ("ttl_ms: 604800000", "ttl_ms: 0", "4: categories.code.ttl_ms: input should be greater than 0 (it is 0)"),
        (
            "    ttl_ms: 604800000",
            "    ttl_cap_ms: 5",
            "4: categories.code.ttl_cap_ms: is below ttl_ms, which is 86400000 (it is 5)",
        ),
        (
            "threshold: 0.9",
            "stale_while_revalidate_ms: -1",
            "3: categories.code.stale_while_revalidate_ms: input should be greater than or equal to 0 (it is -1)",
        ),
        (
            "threshold: 0.9",
            "false_hit_bound: 0",
            "3: categories.code.false_hit_bound: input should be greater than 0 (it is 0)",
        ),
        (
            "    threshold: 0.9",
            "    quota:\n      cap: 5\n      guaranteed: 6",
            "5: categories.code.quota.guaranteed: is above cap, which is 5 (it is 6)",
        ),
        (
            "    threshold: 0.9",
            "    quota:\n      cap: 200000",
            "4: categories.code.quota.cap: is above limits.entries_max, the total of a shard, which is 100000",
        ),
        ("rules:", "limits: {eviction: fifo}\nrules:", "6: limits.eviction: input should be 'value', 'lru', 'lfu' or"),
        ("rules:", "limits: {cost: money}\nrules:", "6: limits.cost: input should be 'latency' or 'tokens'"),
        ("rules:", "limits: {entries_max: 0}\nrules:", "6: limits.entries_max: input should be greater than or equal"),
        ("rules:", "limits: {entry_max: 9}\nrules:", "6: limits.entry_max: no such key; did you mean entries_max?"),
        ("cache: never", "cache: sometimes", "5: categories.medical.cache: input should be 'allow', 'observe' or"),
        ("  code:", "  my code:", "2: categories.my code: a name is 1 to 64 letters"),
        ("(?i)patient", "(patient", "7: rules[0].when.pattern: not a regular expression"),
        ("(?i)patient", "patient(?! care)", "7: rules[0].when.pattern: needs what linear matching lacks"),
        ("    category: medical", "", "7: rules[0].category: is missing"),
        (
            "    category: medical",
            "    category: legal",
            "8: rules[0].category: names a category that is not defined (it is 'legal')",
        ),
    ],
)
def test_a_mistake_is_named_by_its_line_and_key(old: str, new: str, said: str) -> None:
    assert old in GOOD
    (line,) = mistakes(GOOD.replace(old, new))
    assert line.startswith(said)


def test_a_default_that_is_too_large_is_named_where_it_would_stand() -> None:
    (code, medical) = mistakes(GOOD + "limits: {entries_max: 50}\n")
    assert code.startswith("2: categories.code.quota.cap: is above limits.entries_max")
    assert medical.startswith("5: categories.medical.quota.cap: is above limits.entries_max")


def test_of_guarantees_that_are_too_many_the_one_that_passes_the_total_is_named() -> None:
    rooms = "".join(f"  {name}:\n    quota: {{guaranteed: 40, cap: 90}}\n" for name in "abc")
    (line,) = mistakes(f"limits: {{entries_max: 100}}\ncategories:\n{rooms}")
    assert line.startswith("8: categories.c.quota.guaranteed: with it the guaranteed quotas add up to 120, above")


def test_mistakes_are_told_in_the_order_of_the_file() -> None:
    text = "limits: {ef: 1}\nrules: [{}]\ncategories:\n  a: {cache: x, cache: y}\n"
    assert [line.partition(":")[0] for line in mistakes(text)] == ["1", "2", "2", "4", "4"]


def test_all_mistakes_are_told_at_once() -> None:
    assert len(mistakes(GOOD.replace("0.9", "9").replace("604800000", "-1").replace("never", "no"))) == 3


def test_a_key_that_stands_twice_is_a_mistake() -> None:
    assert mistakes(GOOD + "categories: {}\n")[-1] == "9: categories: stands in line 1 already"


@pytest.mark.parametrize("text", ["a: [", "\tx: 1", "- 1\n- 2", "", "just words"])
def test_what_is_no_table_of_yaml_is_refused_with_the_file_and_a_line(text: str) -> None:
    with pytest.raises(BadInput, match=r"^p\.yaml:\d"):
        read_policy(text, "p.yaml")


def test_what_changes_is_told_key_by_key() -> None:
    old = read_policy(GOOD, "old")
    new = read_policy(GOOD.replace("0.9", "0.95").replace("medical", "health") + "limits: {ef: 32}\n", "new")
    assert changes(old, new) == [
        "~ categories.code.threshold: 0.9 -> 0.95",
        "+ categories.health",
        "- categories.medical",
        "~ limits.ef: 64 -> 32",
        "~ rules: 1 before, 1 now",
    ]
    assert changes(old, old) == []


def test_the_first_policy_is_told_by_its_categories() -> None:
    assert changes(None, Policy(categories={})) == ["+ the first policy, with the categories none"]
    assert changes(None, read_policy(GOOD, "p")) == [
        "+ the first policy, with the categories code (allow), medical (never)"
    ]


LEAST = {
    "categories": CategoryPolicy(threshold=1.0, ttl_ms=1, quota=Quota(cap=1), guards=(), leave_out=()),
    "rules": Rule(when=Match(tag="a"), category="a"),
    "models": ModelPolicy(latency_target_ms=1, queue_target=1),
    "tenants": TenantLimits(),
}
"""The parts that take the least room in a record."""
PARTS = {
    "categories": lambda at: f"  c{at}: {{}}",
    "rules": lambda at: "  - {when: {tag: a}, category: c}",
    "models": lambda at: f"  m{at}: {{}}",
    "tenants": lambda at: f"  t{at}: {{}}",
}


@pytest.mark.parametrize("name", PARTS)
def test_more_parts_than_any_policy_has_room_for_are_refused_where_they_begin(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert POLICY_PARTS_MAX[name] * len(LEAST[name].model_dump_json()) > POLICY_BYTES_MAX
    monkeypatch.setitem(POLICY_PARTS_MAX, name, 30)

    def text(count: int) -> str:
        rest = "categories: {c: {}}\n" if name != "categories" else ""
        return "\n".join([f"{rest}{name}:", *map(PARTS[name], range(count))])

    assert len(getattr(read_policy(text(30), "p.yaml"), name)) == 30
    # What is behind it is not even YAML.
    with pytest.raises(BadInput, match=f"^p.yaml:3[234]: not YAML: {name} has more than 30 parts"):
        read_policy(text(31) + "\n  - }]{", "p.yaml")


def test_a_file_of_many_mistakes_is_looked_at_once_for_their_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []

    def looking(node: yaml.Node) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        looked.append(node)
        return children_of(node)

    monkeypatch.setattr(file, "children_of", looking)
    found = mistakes("categories:\n" + "\n".join(f"  c{at}: {{ttl: 1}}" for at in range(50)))
    assert [line.split(":")[0] for line in found] == [str(at + 2) for at in range(50)]
    assert len(looked) == 52
