"""Scripts of traffic for what-ifs, by a seed: repeats, rewordings and other questions in several categories."""

from __future__ import annotations

import random

from refrain.schemas.policy import REQUEST_IDS, CategoryPolicy, Guard, Policy, Quota
from refrain.schemas.policy_limits import Eviction, Limits
from refrain.schemas.policy_rules import Match, Rule
from tests.ops.whatif.service import Ask, Give

WORDS = (
    "sort", "list", "python", "reverse", "string", "index", "table", "join", "query", "cache", "shard", "kafka",
    "topic", "offset", "commit", "merge", "branch", "vector", "matrix", "graph",
)  # fmt: skip
START_MS = 1_000_000


def script(seed: int, count: int = 400) -> list[Ask | Give]:
    """Questions of three categories, some asked again in the same words, some in others."""
    chosen = random.Random(seed)
    subjects = [" ".join(chosen.sample(WORDS, 4)) for _ in range(25)]
    out: list[Ask | Give] = []
    at_ms = START_MS
    for _ in range(count):
        at_ms += 2 * chosen.randint(1, 900)
        subject = chosen.choice(subjects[: 5 + len(subjects) // 2] if chosen.random() < 0.7 else subjects)
        text = f"How do I {subject}"
        if chosen.random() < 0.5:
            text += " " + " ".join(chosen.sample(WORDS, chosen.randint(1, 2)))
        category = chosen.choice(["code", "code", "chat", None])
        out.append(Ask(at_ms, text, category, {"tenant": chosen.choice(["acme", "acme", "initech"])}))
    return out


def mixed(seed: int, count: int = 300) -> list[Ask | Give]:
    """Quicker ones, of which some depend on now or on who asks, or want the cache used otherwise."""
    chosen = random.Random(seed + 1_000)
    out: list[Ask | Give] = []
    for each in script(seed, count):
        assert isinstance(each, Ask)
        end = chosen.choice(["", "", "", "", " today", " in my account"])
        mode = chosen.choice(["use"] * 8 + ["observe", "refresh", "only"])
        user = {"user": chosen.choice(["ann", "ben"])} if chosen.random() < 0.5 else {}
        at_ms = START_MS + (each.at_ms - START_MS) // 16 * 2
        out.append(Ask(at_ms, each.text + end, each.category, {**each.fields, "cache": mode}, user))
    return out


def policy(limits: Limits | None = None, **of_all: object) -> Policy:
    """A policy with the categories code, chat and uncategorised, all as given, without guards."""
    fields = {"threshold": 0.9, "guards": (), "quota": Quota(cap=1_000), "volatile": "allow", **of_all}
    categories = {name: CategoryPolicy.model_validate(fields) for name in ("code", "chat", "uncategorised")}
    return Policy(categories=categories, limits=limits or Limits(answer_timeout_ms=10_000))


def any_policy(chosen: random.Random) -> Policy:
    """A policy by chance, of what changes where a question goes and what it meets."""
    made = policy(
        Limits(answer_timeout_ms=10_000, eviction=chosen.choice(list(Eviction))),
        threshold=chosen.choice([0.75, 0.8, 0.85, 0.9, 0.95]),
        ttl_ms=chosen.choice([20_000, 60_000, 86_400_000]),
        stale_while_revalidate_ms=chosen.choice([0, 0, 30_000]),
        quota=Quota(cap=chosen.choice([4, 8, 1_000])),
        coalesce=chosen.random() < 0.8,
        scope=chosen.choice(["tenant", "shared"]),
        slices=chosen.choice([1, 1, 3]),
        guards=chosen.choice([(), tuple(Guard)]),
        volatile=chosen.choice(["allow", "never", {"ttl_ms": 30_000}]),
        personal=chosen.choice(["allow", "never", {"require": ["user"]}]),
        leave_out=chosen.choice([REQUEST_IDS, (*REQUEST_IDS, "user")]),
    )
    rules = (Rule(when=Match(pattern="kafka"), category="chat"),) if chosen.random() < 0.3 else ()
    return made.model_copy(update={"rules": rules})
