"""Which entry goes when room is needed, seen through records in and records out."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refrain.schemas.base import Sealed
from refrain.schemas.journal import Answered, PolicySet
from refrain.schemas.policy import CategoryPolicy, Policy, Quota
from refrain.schemas.policy_limits import Eviction, Limits
from refrain.schemas.responses import Outcome
from refrain.streams.shard.columns import ENTRIES, entry_id
from refrain.streams.shard.eviction.value import ADMITTED, ENVELOPE_BYTES
from refrain.streams.shard.fold import fold
from refrain.streams.shard.handlers.room import EVICTED_MAX
from refrain.streams.shard.loading import load_shard
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard
from refrain.streams.store.interface import Checkpoint
from tests.streams.shard.journal import JOURNAL_ID, Journal, forward_id, new_shard, responses


class Cache:
    """A shard under a policy of the categories `code` and `chat`, asked by exact text."""

    def __init__(self, *, limits: dict[str, Any] | None = None, **categories: dict[str, Any]) -> None:
        self.journal = Journal()
        self.shard = new_shard()
        self.version = 0
        self.govern(limits=limits, **categories)

    def govern(self, *, limits: dict[str, Any] | None = None, **categories: dict[str, Any]) -> FoldResult:
        """Another policy comes into force."""
        said = {"code": {}, "chat": {}, **categories}
        limits = {"entries_max": 100, **(limits or {})}
        small = {"quota": Quota(cap=min(10, limits["entries_max"]))}
        policy = Policy(
            categories={name: CategoryPolicy(**{**small, **fields}) for name, fields in said.items()},
            limits=Limits(**limits),
        )
        self.version += 1
        return fold(self.shard, self.journal.add(PolicySet(version=self.version, policy=policy)))

    def ask(self, text: str, category: str = "code", tenant: str = "acme", **fields: Any) -> FoldResult:
        """Ask; whoever is not served waits."""
        record = self.journal.ask(text, None, category=category, tenant=tenant, space=tenant, **fields)
        return fold(self.shard, record)

    def keep(self, text: str, category: str = "code", tenant: str = "acme", latency_ms: int = 1_000) -> FoldResult:
        """Ask what nobody asked before, and answer it."""
        message = {"role": "assistant", "content": "so"}
        body = json.dumps({"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        answered = Answered(
            forward_id=forward_id(self.ask(text, category, tenant)), body=Sealed(data=body), latency_ms=latency_ms
        )
        return fold(self.shard, self.journal.add(answered))

    def use(self, text: str, category: str = "code", tenant: str = "acme") -> None:
        """Be served."""
        assert self.ask(text, category, tenant).decisions[0].outcome is Outcome.HIT

    def holds(self) -> set[str]:
        """The texts kept."""
        index = self.shard.entries
        seen = (index.by_id(number) for number in range(self.shard.next_offset))
        return {self.shard.entry(each).question.data for each in seen if each is not None}

    def again(self) -> Shard:
        """The shard as its store tells it."""
        self.shard.begin_commit()
        self.shard.finish_commit(Checkpoint(1, 1))
        return load_shard(0, 32, JOURNAL_ID, self.shard.store)


def reasons(folded: FoldResult) -> list[tuple[str, ...]]:
    """The evictions counted."""
    return [count[1:] for count in folded.counts if count[0] == "evicted"]


CAP_2 = {"quota": Quota(cap=2)}


def test_over_its_cap_a_room_loses_what_is_cheapest_to_ask_again() -> None:
    cache = Cache(code=CAP_2)
    cache.keep("a", latency_ms=2_000)
    cache.keep("b", latency_ms=1_000)
    assert reasons(cache.keep("c", latency_ms=10)) == [("code", "cap")]
    assert cache.holds() == {"a", "c"}


@pytest.mark.parametrize(("latency_ms", "left"), [(4_900, "a"), (5_100, "b")])
def test_a_use_counts_four_times_what_an_admission_does(latency_ms: int, left: str) -> None:
    cache = Cache(code=CAP_2)
    cache.keep("a", latency_ms=1_000)
    cache.keep("b", latency_ms=latency_ms)
    cache.use("a")
    cache.keep("c")
    assert cache.holds() == {left, "c"}


def test_a_larger_answer_is_worth_less() -> None:
    cache = Cache(code=CAP_2)
    cache.keep("small")
    cache.keep("large" * 1_000)
    cache.keep("next")
    assert cache.holds() == {"small", "next"}


def test_of_equal_values_the_one_not_used_for_longer_goes() -> None:
    cache = Cache(code=CAP_2)
    for text in "ab":
        cache.keep(text)
    cache.use("b")
    cache.use("a")
    cache.keep("c", latency_ms=10_000)
    assert cache.holds() == {"a", "c"}


def test_what_was_worth_much_ages_while_others_come_and_go() -> None:
    cache = Cache(code=CAP_2)
    cache.keep("old", latency_ms=3_500)
    for number in range(3):
        cache.keep(f"n{number}", latency_ms=1_000)
    assert "old" in cache.holds()
    for number in range(3, 6):
        cache.keep(f"n{number}", latency_ms=1_000)
    assert "old" not in cache.holds()


def test_the_same_text_is_replaced_before_anything_is_evicted() -> None:
    cache = Cache(code=CAP_2)
    cache.keep("a")
    cache.keep("b")
    asked = cache.ask("a", mode="refresh")
    body = json.dumps({"choices": [{"index": 0, "message": {"content": "so"}, "finish_reason": "stop"}]})
    record = cache.journal.add(Answered(forward_id=forward_id(asked), body=Sealed(data=body)))
    assert reasons(fold(cache.shard, record)) == [("code", "replaced")]
    assert cache.holds() == {"a", "b"}


def test_the_total_takes_the_least_of_all_rooms_and_never_what_is_guaranteed() -> None:
    cache = Cache(
        limits={"entries_max": 4},
        code={"quota": Quota(guaranteed=2, cap=4)},
        chat={"quota": Quota(guaranteed=0, cap=4)},
    )
    for text in ("cheap1", "cheap2"):
        cache.keep(text, "code", latency_ms=1)
    for text in ("dear1", "dear2"):
        cache.keep(text, "chat", latency_ms=9_000)
    assert reasons(cache.keep("dear3", "chat", latency_ms=9_000)) == [("chat", "total")]
    assert cache.holds() == {"cheap1", "cheap2", "dear2", "dear3"}
    assert reasons(cache.keep("cheap3", "code", latency_ms=1)) == [("code", "total")]
    assert cache.holds() == {"cheap2", "cheap3", "dear2", "dear3"}


def test_a_room_that_grew_past_its_guaranteed_part_is_found_again() -> None:
    quota = {"quota": Quota(guaranteed=1, cap=4)}
    cache = Cache(limits={"entries_max": 4}, code=quota, chat=quota)
    cache.keep("c0", "code", latency_ms=1)
    for number in range(4):
        cache.keep(f"h{number}", "chat", latency_ms=500)
    assert "c0" in cache.holds()
    cache.keep("c1", "code", latency_ms=2)
    assert cache.holds() == {"c1", "h1", "h2", "h3"}
    cache.govern(limits={"entries_max": 4}, code=quota, chat={"quota": Quota(guaranteed=3, cap=4)})
    assert reasons(cache.keep("c2", "code", latency_ms=2)) == [("code", "total")]


def test_when_all_is_guaranteed_a_room_gives_of_its_own_and_without_any_the_answer_is_only_delivered() -> None:
    quota = {"quota": Quota(guaranteed=2, cap=2)}
    cache = Cache(limits={"entries_max": 4}, code=quota, chat=quota)
    for number, tenant in enumerate(("acme", "other")):
        for text in (f"{number}a", f"{number}b"):
            cache.keep(text, tenant=tenant)
    folded = cache.keep("third", tenant="third")
    assert [each.outcome for each in responses(folded)] == [Outcome.MISS]
    assert folded.counts == [("not_admitted", "no_room")]
    assert cache.holds() == {"0a", "0b", "1a", "1b"}
    assert reasons(cache.keep("0c")) == [("code", "cap")]
    cache.govern(limits={"entries_max": 4}, code={"quota": Quota(guaranteed=2, cap=4)}, chat=quota)
    assert reasons(cache.keep("0d")) == [("code", "total")]
    assert cache.holds() == {"0c", "0d", "1a", "1b"}


def test_a_room_that_churns_does_not_age_its_neighbours() -> None:
    cache = Cache(limits={"entries_max": 8}, code={"quota": Quota(cap=2)}, chat={"quota": Quota(cap=8)})
    cache.keep("steady", "chat", latency_ms=1_000)
    for number in range(40):
        cache.keep(f"churn{number}", "code", latency_ms=900)
    for number in range(7):
        cache.keep(f"chat{number}", "chat", latency_ms=1_000)
    assert cache.holds() == {"steady", *(f"chat{number}" for number in range(7))}


def test_a_lowered_cap_is_reached_with_a_bounded_number_of_evictions_an_admission() -> None:
    cache = Cache(code={"quota": Quota(cap=100)})
    for number in range(100):
        cache.keep(str(number))
    cache.govern(code={"quota": Quota(cap=10)})
    sizes = []
    for text in "abc":
        assert len(reasons(cache.keep(text))) <= EVICTED_MAX
        sizes.append(len(cache.shard.entries))
    assert sizes == [37, 10, 10]


def test_a_lowered_total_takes_from_every_room_alike() -> None:
    cache = Cache(code={"quota": Quota(cap=50)}, chat={"quota": Quota(cap=50)})
    for number in range(80):
        cache.keep(str(number), ("code", "chat")[number % 2])
    cache.govern(limits={"entries_max": 20}, code={"quota": Quota(cap=20)}, chat={"quota": Quota(cap=20)})
    folded = cache.keep("new")
    assert len(cache.shard.entries) == 20
    assert sorted({reason for _, reason in reasons(folded)}) == ["cap", "total"]


def test_a_changed_priority_takes_effect_with_the_next_use() -> None:
    cache = Cache(limits={"entries_max": 2})
    cache.keep("x", "code")
    cache.keep("y", "chat", latency_ms=2_000)
    cache.govern(limits={"entries_max": 2}, code={"quota": Quota(cap=2), "priority": 9.0}, chat=CAP_2)
    cache.keep("z", "code")
    assert cache.holds() == {"y", "z"}
    cache.govern(limits={"entries_max": 2}, code={"quota": Quota(cap=2), "priority": 0.01}, chat=CAP_2)
    cache.use("z")
    cache.keep("w", "chat")
    assert cache.holds() == {"y", "w"}


@pytest.mark.parametrize(
    ("eviction", "left"),
    [(Eviction.LRU, {"b", "d"}), (Eviction.LFU, {"a", "d"}), (Eviction.PAPER, {"b", "d"})],
)
def test_the_other_orders_stay_to_compare(eviction: Eviction, left: set[str]) -> None:
    cache = Cache(limits={"eviction": eviction}, code=CAP_2)
    cache.keep("a", latency_ms=1)
    cache.use("a")
    cache.use("a")
    cache.keep("b", latency_ms=9_000)
    cache.use("b")
    cache.keep("d", latency_ms=1)
    assert cache.holds() == left


def test_the_paper_divides_hits_by_age() -> None:
    cache = Cache(limits={"eviction": "paper"}, code=CAP_2)
    cache.keep("old")
    cache.use("old")
    cache.use("old")
    cache.shard.time_ms += 100_000
    cache.journal.time_ms += 100_000
    cache.keep("young")
    cache.use("young")
    cache.keep("next")
    assert cache.holds() == {"young", "next"}


def test_counting_tokens_instead_of_time_values_everything_anew_and_a_restored_shard_agrees() -> None:
    cache = Cache(code={"quota": Quota(cap=3), "priority": 2.0})
    long, short = "long " * 200, "short"
    cache.keep(long, latency_ms=1)
    cache.keep(short, latency_ms=9_000)
    cache.keep("other", latency_ms=9_000)
    for _ in range(2):
        cache.use(short)
    cache.govern(limits={"cost": "tokens"}, code={"quota": Quota(cap=3), "priority": 4.0})
    again = cache.again()
    for shard in (cache.shard, again):
        index = shard.entries
        found = {shard.entry(seen).question.data: seen for n in range(30) if (seen := index.by_id(n))}
        size = ENVELOPE_BYTES + len(short) + len(shard.stored_answer(found[short]).text)
        tokens = (size - ENVELOPE_BYTES) // 4
        assert index.stats(found[short]).value == (2.0 + ADMITTED) * tokens * 4.0 / (size / 1_000)
    cache.keep("new")
    assert cache.holds() == {long, short, "new"}


# -- against a model that looks at everything ---------------------------------------------------------


class Kept(NamedTuple):
    """An entry of the model."""

    id: int
    room: tuple[str, str]
    text: str
    cost: dict[str, float]
    size: float
    admitted: int
    hits: int
    last: int
    value: float


class Model:
    """The rules of eviction, each decision by looking at every entry."""

    def __init__(self) -> None:
        self.kept: list[Kept] = []
        self.shard_base = 0.0
        self.bases: dict[tuple[str, str], float] = {}
        self.policy = Policy(categories={})

    def value(self, kept: Kept) -> float:
        priority = self.policy.categories[kept.room[1]].priority
        worth = (kept.hits + ADMITTED) * kept.cost[self.policy.limits.cost] * priority / (kept.size / 1_000)
        return (self.shard_base + self.bases.get(kept.room, 0.0)) + worth

    def use(self, id_: int, offset: int) -> None:
        (number,) = [n for n, each in enumerate(self.kept) if each.id == id_]
        used = self.kept[number]._replace(hits=self.kept[number].hits + 1, last=offset)
        self.kept[number] = used._replace(value=self.value(used))

    def govern(self, policy: Policy) -> None:
        anew = self.policy.limits.cost != policy.limits.cost
        self.policy = policy
        if anew:
            self.shard_base, self.bases = 0.0, {}
            self.kept = [each._replace(value=self.value(each)) for each in self.kept]

    def order(self, each: Kept, now: int, of_all: bool) -> tuple[float, int]:
        base = self.bases.get(each.room, 0.0) if of_all else 0.0
        priority = self.policy.categories[each.room[1]].priority
        match self.policy.limits.eviction:
            case Eviction.VALUE:
                return max(0.0, each.value - base), each.last
            case Eviction.LRU:
                return 0.0, each.last
            case Eviction.LFU:
                return float(each.hits), each.last
            case Eviction.PAPER:
                return priority * each.hits / max(1, now - each.admitted), each.last

    def first(self, among: list[Kept], now: int, of_all: bool) -> Kept | None:
        if of_all and self.policy.limits.eviction is Eviction.VALUE:
            # A room offers the least by its own order.
            quotas = {each.room for each in among}
            among = [min((e for e in among if e.room == r), key=lambda e: self.order(e, now, False)) for r in quotas]
        return min(among, key=lambda each: self.order(each, now, of_all), default=None)

    def admit(self, new: Kept, now: int) -> list[str]:
        why: list[str] = []
        limits, quotas = self.policy.limits, {name: c.quota for name, c in self.policy.categories.items()}

        def go(gone: Kept, reason: str) -> None:
            self.kept.remove(gone)
            why.append(reason)
            base = self.bases.get(gone.room, 0.0)
            if limits.eviction is Eviction.VALUE and reason == "cap":
                self.bases[gone.room] = max(base, gone.value - self.shard_base)
            if limits.eviction is Eviction.VALUE and reason == "total":
                self.shard_base = max(self.shard_base, gone.value - base)

        def mine() -> list[Kept]:
            return [each for each in self.kept if each.room == new.room]

        def count(room: tuple[str, str]) -> int:
            return sum(each.room == room for each in self.kept)

        for each in [each for each in mine() if each.text == new.text]:
            go(each, "replaced")
        while len(why) < EVICTED_MAX and len(mine()) >= quotas[new.room[1]].cap:
            least = self.first(mine(), now, False)
            assert least is not None
            go(least, "cap")
        while len(why) < EVICTED_MAX and len(self.kept) >= limits.entries_max:
            over = [e for e in self.kept if count(e.room) + (e.room == new.room) > quotas[e.room[1]].guaranteed]
            least = self.first(over, now, True)
            if least is None:
                break
            go(least, "total")
        if len(self.kept) >= limits.entries_max and not why:
            least = self.first(mine(), now, False)
            if least is None:
                return ["no_room"]
            go(least, "total")
        self.kept.append(new._replace(value=self.value(new)))
        return why


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("ask"),
            st.integers(0, 11),
            st.sampled_from(["acme", "other"]),
            st.sampled_from(["code", "chat"]),
            st.integers(0, 3_000),
        ),
        st.tuples(
            st.just("govern"),
            st.integers(1, 10),
            st.sampled_from(list(Eviction)),
            st.sampled_from(["latency", "tokens"]),
            st.integers(0, 3),
        ),
        st.just(("restore", 0, "", "", 0)),
    ),
    min_size=20,
    max_size=120,
)


@settings(deadline=None, max_examples=150)
@given(steps=STEPS)
def test_a_shard_and_one_restored_from_its_store_evict_what_a_search_of_all_entries_would(
    steps: list[tuple[str, int, Any, Any, int]],
) -> None:
    cache, model = Cache(limits={"entries_max": 10}), Model()
    assert cache.shard.policy is not None
    model.govern(cache.shard.policy.policy)
    twins: list[Shard] = []
    for kind, number, one, other, small in steps:
        before = len(cache.journal.records)
        if kind == "restore":
            twins = [cache.again()]
            continue
        if kind == "govern":
            quota = {"quota": Quota(guaranteed=min(small, 2), cap=max(2, number - 1))}
            cache.govern(
                limits={"entries_max": max(4, number), "eviction": one, "cost": other},
                code={**quota, "priority": 0.5 + small},
                chat={"quota": Quota(cap=3)},
            )
            model.govern(cache.shard.policy.policy)
        else:
            _ask(cache, model, f"{number} " * (number + 1), one, other, small)
        assert _kept(cache.shard) == {(e.id, e.hits, e.last, e.value) for e in model.kept}
        for twin in twins:
            for record in cache.journal.records[before:]:
                fold(twin, record)
            assert _kept(twin) == _kept(cache.shard)
    if twins:
        assert {**twins[0].overlay.uncommitted} == {**cache.shard.overlay.uncommitted}


def _ask(cache: Cache, model: Model, text: str, tenant: str, category: str, latency_ms: int) -> None:
    index, space = cache.shard.entries, (tenant, category)
    held = [each for each in model.kept if each.room == space and each.text == text]
    if held:
        cache.use(text, category, tenant)
        return model.use(held[0].id, cache.shard.next_offset - 1)
    folded = cache.keep(text, category, tenant, latency_ms)
    number = cache.shard.next_offset - 1
    seen = index.by_id(number)
    answer = '{"model":"m","message":{"role":"assistant","content":"so"},"finish_reason":"stop"}'
    bytes_ = len(text) + len(answer)
    costs = {"latency": float(max(1, latency_ms)), "tokens": float(bytes_ // 4)}
    new = Kept(number, space, text, costs, float(ENVELOPE_BYTES + bytes_), cache.shard.time_ms, 0, number, 0.0)
    expected = model.admit(new, cache.shard.time_ms)
    assert (["no_room"] if seen is None else [why for _, why in reasons(folded)]) == expected
    return None


def _kept(shard: Shard) -> set[tuple[int, int, int, float]]:
    found = [seen for number in range(shard.next_offset) if (seen := shard.entries.by_id(number))]
    assert all(shard.document(ENTRIES, entry_id(seen.id)) for seen in found)
    used = [(seen.id, shard.entries.stats(seen)) for seen in found]
    return {(id_, stats.hits, stats.last_offset, stats.value) for id_, stats in used}
