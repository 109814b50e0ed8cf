"""Places sort as what they stand for, and heaps stay small."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from refrain.schemas.base import Sealed
from refrain.schemas.documents import Aging, Entry, EntryStats
from refrain.schemas.policy import CategoryPolicy, Policy, Quota
from refrain.schemas.policy_limits import Limits
from refrain.streams.shard.eviction.quotas import SLACK, Admissions, Quotas
from refrain.streams.shard.eviction.usage import NUMBER_MASK, heap_item, last_of

KEYS = st.tuples(st.floats(0, 1e300), st.integers(0, 2**62), st.integers(0, 2**32 - 1))


def entry(number: int, category: str = "code", value: float = 0.0) -> Entry:
    """An entry of which only its number, room and value matter."""
    return Entry(
        id=number,
        tenant="acme",
        space="acme",
        category=category,
        model="m",
        embedder="e",
        context="c",
        text_digest=str(number),
        vector=None,
        question=Sealed(data="q"),
        answer=Sealed(data="a"),
        admitted_at_ms=number,
        value=value,
    )


def admissions(quotas: Quotas) -> Admissions:
    """All admitted at once."""
    return Admissions(quotas.usage.last, 1_000_000)


@given(one=KEYS, other=KEYS)
def test_places_sort_by_key_then_last_use_and_tell_both(
    one: tuple[float, int, int], other: tuple[float, int, int]
) -> None:
    assert (heap_item(*one) < heap_item(*other)) == (one < other)
    assert (last_of(heap_item(*one)), heap_item(*one) & NUMBER_MASK) == one[1:]
    assert heap_item(-0.0, 1, 2) == heap_item(0.0, 1, 2)


def test_uses_cost_no_place_until_the_entry_comes_up() -> None:
    quotas = Quotas()
    for row in range(10):
        quotas.usage.reserve(row + 1)
        quotas.enter(row, entry(row, value=1.0), None)
    for offset in range(10, 1_000):
        quotas.use(offset % 9, EntryStats(hits=1, last_offset=offset, value=float(offset)))
    (room,) = quotas.all()
    assert len(room.heap) == 10
    assert quotas.victim("acme", "code", admissions(quotas)) == 9


def test_heaps_stay_as_small_as_what_they_hold_whatever_comes_and_goes() -> None:
    quotas = Quotas()
    for number in range(5_000):
        row = number % 8
        if number >= 8:
            quotas.leave(row)
        quotas.usage.reserve(row + 1)
        quotas.enter(row, entry(number, "ab"[number % 2], value=float(5_000 - number)), None)
        quotas.age("acme/a", Aging(base=float(number)))
    in_rooms = [len(room.heap) for room in quotas.all()]
    assert all(places <= 2 * 8 + SLACK for places in in_rooms)
    assert 0 < quotas.places - sum(in_rooms) <= 2 * 2 + SLACK, "places of the rooms themselves"


def test_a_policy_that_gives_a_guarantee_takes_the_room_out_of_the_others_reach() -> None:
    quotas = Quotas()
    quotas.usage.reserve(4)
    for row, category in enumerate(("code", "chat", "chat")):
        quotas.enter(row, entry(row, category, value=float(row)), None)
    assert quotas.victim_of_shard("acme", "other", admissions(quotas)) == 0
    guaranteed = CategoryPolicy(quota=Quota(guaranteed=1, cap=5))
    quotas.follow(Policy(categories={"code": guaranteed}, limits=Limits(entries_max=5)))
    assert quotas.victim_of_shard("acme", "other", admissions(quotas)) == 1
    assert quotas.victim_of_shard("acme", "code", admissions(quotas)) == 0
