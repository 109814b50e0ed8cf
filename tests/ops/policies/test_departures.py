"""`policies apply` says how many entries would go."""

from __future__ import annotations

import pytest

from refrain.ops.policies.departures import Departures, departures, may_lose, told
from refrain.ops.policies.file import read_policy, write_policy
from refrain.schemas.base import Sealed
from refrain.schemas.documents import Entry
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy, Quota
from refrain.schemas.policy_limits import Limits
from refrain.streams.kafka.interface import Record
from refrain.streams.shard.columns import ENTRIES

NOW_MS = 10_000_000
BEFORE = Policy(
    categories={"code": CategoryPolicy(quota=Quota(cap=2)), "chat": CategoryPolicy(), "old": CategoryPolicy()}
)


def kept(number: int, category: str, tenant: str = "t", age_ms: int = 0, partition: int = 0) -> Record:
    entry = Entry(
        id=number,
        tenant=tenant,
        space=tenant,
        category=category,
        model="m",
        embedder="e",
        context="00",
        text_digest="00",
        vector=None,
        question=Sealed(data="q"),
        answer=Sealed(data="a"),
        admitted_at_ms=NOW_MS - age_ms,
    )
    return Record("documents", partition, number, 1, ENTRIES.key(str(number)), entry.encode())


def of(**changed: CategoryPolicy) -> Policy:
    return BEFORE.model_copy(update={"categories": {**BEFORE.categories, **changed}})


def test_what_is_never_kept_any_more_goes_whole_and_what_left_before_is_not_counted() -> None:
    records = [kept(1, "chat"), kept(2, "chat"), kept(3, "code"), kept(4, "gone")]
    records.append(records[1]._replace(value=None))
    found = departures(records, of(chat=CategoryPolicy(cache=Cacheable.NEVER)), NOW_MS)
    assert found == [Departures("chat", withdrawn=1), Departures("gone", withdrawn=1)]
    assert told(found) == ["2 entries would go:", "  chat: 1 withdrawn", "  gone: 1 withdrawn"]


def test_what_lives_too_long_and_what_is_over_a_cap_goes() -> None:
    records = [kept(n, "code", age_ms=n * 1_000) for n in range(1, 5)]
    records += [kept(9, "code", tenant="other"), kept(10, "code", partition=1)]
    after = of(code=CategoryPolicy(ttl_ms=3_500, quota=Quota(guaranteed=0, cap=1)))
    assert departures(records, after, NOW_MS) == [Departures("code", too_old=1, over_cap=2)]


@pytest.mark.parametrize(
    ("after", "loses"),
    [
        (BEFORE, False),
        (of(code=CategoryPolicy(quota=Quota(guaranteed=0, cap=3), threshold=0.99)), False),
        (of(code=CategoryPolicy(quota=Quota(guaranteed=0, cap=1))), True),
        (of(chat=CategoryPolicy(ttl_ms=1_000)), True),
        (of(chat=CategoryPolicy(cache=Cacheable.NEVER)), True),
        (Policy(categories={"code": BEFORE.categories["code"]}), True),
        (BEFORE.model_copy(update={"limits": Limits(entries_max=10)}), True),
    ],
)
def test_documents_are_read_only_where_a_change_may_cost_entries(after: Policy, loses: bool) -> None:
    assert may_lose(BEFORE, after) is loses
    assert not may_lose(None, after)


def test_nothing_goes_where_all_fits() -> None:
    assert told(departures([kept(1, "code")], BEFORE, NOW_MS)) == ["no entry would go"]


def test_a_policy_is_shown_complete_and_reads_back_as_the_same() -> None:
    text = write_policy(BEFORE, complete=True)
    for key in ("threshold:", "ttl_ms:", "apology_ttl_ms:", "limits:", "entries_max:", "example_similarity:"):
        assert key in text
        assert key not in write_policy(Policy(categories={"code": CategoryPolicy()}))
    assert read_policy(text, "again") == BEFORE
