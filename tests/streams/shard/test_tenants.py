"""What one tenant may use of a shard: records in, decisions out. What one has too much of costs others nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.schemas.base import Header, Reply
from refrain.schemas.decisions import Reason
from refrain.schemas.policy_limits import TenantLimits
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import Outcome
from refrain.streams.shard.columns import TENANTS
from refrain.streams.shard.fold import fold
from refrain.streams.shard.loading import load_shard
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard
from refrain.streams.store.interface import Checkpoint
from tests.streams.shard.journal import JOURNAL_ID, Journal, forward_id, new_shard, vector


class Served:
    """A shard whose policy limits the tenants named; `*` are those that are not."""

    def __init__(self, limits: dict[str, Any] | None = None, **tenants: dict[str, Any]) -> None:
        self.journal = Journal()
        self.shard = new_shard()
        named = {"*" if name == "every" else name: TenantLimits(**of) for name, of in tenants.items()}
        fold(self.shard, self.journal.policy(tenants=named, limits=limits or {}))

    def ask(self, text: str, tenant: str = "acme", meaning: str | None = None, **fields: Any) -> FoldResult:
        return fold(self.shard, self.journal.ask(text, meaning, tenant=tenant, space=tenant, **fields))

    def keep(self, text: str, tenant: str = "acme", meaning: str | None = None, **fields: Any) -> FoldResult:
        """Ask and answer."""
        return fold(self.shard, self.journal.answer(forward_id(self.ask(text, tenant, meaning, **fields))))

    def restart(self) -> None:
        store = self.shard.store
        self.shard.begin_commit()
        self.shard.finish_commit(Checkpoint(1, 1))
        self.shard = load_shard(0, 32, JOURNAL_ID, store)


def why(out: FoldResult) -> tuple[Outcome, Reason]:
    (decision,) = out.decisions
    return decision.outcome, decision.reason


LIMITED = (Outcome.BYPASS, Reason.TENANT_LIMIT)
FORWARDED = (Outcome.MISS, Reason.EXACT_ONLY)


def test_a_seconds_questions_may_come_at_once_and_no_more() -> None:
    served = Served(acme={"requests_per_s": 3})
    told = [why(served.ask(f"q{n}")) for n in range(5)]
    assert told == [FORWARDED] * 3 + [LIMITED] * 2
    assert why(served.ask("q", "globex")) == FORWARDED
    assert why(served.ask("later", after_ms=334)) == FORWARDED
    assert why(served.ask("too early", after_ms=300)) == LIMITED


def test_what_is_over_the_limit_does_not_count() -> None:
    served = Served(every={"requests_per_s": 1})
    served.ask("q")
    for n in range(50):
        assert why(served.ask(f"q{n}")) == LIMITED
    assert why(served.ask("last", after_ms=960)) == FORWARDED


def test_over_the_limit_the_same_text_is_served_and_other_words_pass_through() -> None:
    served = Served(acme={"requests_per_s": 1})
    served.keep("a", meaning=vector(1))
    assert why(served.ask("a", meaning=vector(1))) == (Outcome.HIT, Reason.EXACT_TEXT)
    assert why(served.ask("b", meaning=vector(1))) == LIMITED
    assert why(served.ask("a", meaning=vector(1), mode=CacheMode.REFRESH)) == LIMITED
    assert why(served.ask("a", meaning=vector(1), mode=CacheMode.OBSERVE)) == LIMITED
    assert why(served.ask("b", meaning=vector(1), mode=CacheMode.ONLY)) == (Outcome.ERROR, Reason.TENANT_LIMIT)
    assert why(served.ask("b", meaning=vector(1), after_ms=1_000)) == (Outcome.HIT, Reason.SIMILAR_TEXT)


def test_a_tenant_may_have_so_many_waiting() -> None:
    served = Served(acme={"waiting": 2})
    first = served.ask("q0", meaning=vector(1))
    assert [why(served.ask(f"q{n}"))[1] for n in (1, 2, 3)] == [
        Reason.EXACT_ONLY,
        Reason.TENANT_LIMIT,
        Reason.TENANT_LIMIT,
    ]
    assert why(served.ask("q0", meaning=vector(1))) == LIMITED
    assert why(served.ask("q", "globex")) == FORWARDED
    fold(served.shard, served.journal.answer(forward_id(first)))
    assert why(served.ask("q0", meaning=vector(1))) == (Outcome.HIT, Reason.EXACT_TEXT)
    assert why(served.ask("q4"))[0] is Outcome.MISS


@pytest.mark.parametrize(
    "fields",
    [
        {"reply": Reply(topic="responses", headers=(Header(name="h", value="x" * 30_000),))},
        {"reply": Reply(topic="responses", headers=(Header(name="h"),) * 300)},
        {"reply": Reply(topic="responses", key="x" * 30_000)},
        {"request_id": "x" * 30_000},
        {"tags": ("x" * 100,) * 300},
        {},
    ],
)
def test_what_waits_is_bounded_in_bytes_whatever_is_large(fields: dict[str, Any]) -> None:
    size = 0 if fields else 30_000
    served = Served(acme={"waiting_bytes": 100_000})
    told = [why(served.ask(f"{n}" + "x" * size, **fields)) for n in range(8)]
    assert told.count(FORWARDED) in (3, 4)
    assert told[-1] == LIMITED
    assert why(served.ask("q", "globex")) == FORWARDED


def test_all_that_waits_is_bounded_in_bytes_too() -> None:
    served = Served(limits={"waiting_bytes_max": 200_000})
    told = [why(served.ask(f"{n}" + "x" * 50_000, f"t{n}")) for n in range(8)]
    assert told[:4] == [FORWARDED] * 4
    assert told[4:] == [(Outcome.BYPASS, Reason.WAITING_FULL)] * 4


def test_new_entries_are_bounded_by_the_minute_and_answers_are_delivered() -> None:
    served = Served(acme={"entries_per_minute": 2})
    for n in range(4):
        out = served.keep(f"q{n}")
        assert [effect.topic for effect in out.effects] == ["responses"]
    assert len(served.shard.entries) == 2
    served.keep("q", "globex")
    assert len(served.shard.entries) == 3
    served.journal.tick(30_000)
    served.keep("q5")
    assert len(served.shard.entries) == 4


def test_namespaces_of_a_tenant_are_bounded_and_free_again_when_one_is_empty() -> None:
    served = Served(every={"namespaces": 2})
    for n in range(4):
        served.keep("q", context=f"c{n}")
    served.keep("another", context="c0")
    assert len(served.shard.entries) == 3
    served.keep("q", "globex", context="c9")
    assert len(served.shard.entries) == 4
    fold(served.shard, served.journal.tick(100 * 86_400_000))
    assert len(served.shard.entries) == 0
    served.keep("q", context="c3")
    assert len(served.shard.entries) == 1


def test_a_restarted_shard_goes_on_where_the_other_stopped() -> None:
    served = Served(acme={"requests_per_s": 2, "entries_per_minute": 2, "namespaces": 1, "waiting": 5})
    served.keep("q0", context="c0")
    served.ask("q1", context="c0")
    served.restart()
    assert why(served.ask("q2", context="c0")) == LIMITED
    served.journal.tick(2_000)
    served.keep("q3", context="c1")
    assert len(served.shard.entries) == 1, "a second namespace"
    served.keep("q4", context="c0", after_ms=1_000)
    served.keep("q5", context="c0", after_ms=1_000)
    assert len(served.shard.entries) == 2, "a third entry in a minute"
    assert served.shard.flights.waiting_of("acme")[0] == 1


def test_a_tick_drops_the_use_of_who_is_idle() -> None:
    served = Served(every={"requests_per_s": 10})
    for n in range(3):
        served.ask("q", f"t{n}")
    fold(served.shard, served.journal.tick(50))
    assert _uses(served.shard) == 3
    fold(served.shard, served.journal.tick(51))
    assert _uses(served.shard) == 0


def _uses(shard: Shard) -> int:
    return sum(
        key.startswith(TENANTS.key("")) and value is not None for key, value in shard.overlay.uncommitted.items()
    )


@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.sampled_from(["flood", "calm"]), st.integers(0, 400)), max_size=60),
)
def test_in_no_second_more_than_twice_the_limit_is_looked_up(rate: int, asked: list[tuple[str, int]]) -> None:
    served = Served(flood={"requests_per_s": rate})
    taken: list[int] = []
    for number, (tenant, after_ms) in enumerate(asked):
        outcome, _ = why(served.ask(f"q{number}", tenant, after_ms=after_ms))
        if tenant == "flood" and outcome is Outcome.MISS:
            taken.append(served.journal.time_ms)
        assert tenant == "flood" or outcome is Outcome.MISS
    assert all(sum(at <= each < at + 1_000 for each in taken) <= 2 * rate for at in taken)
