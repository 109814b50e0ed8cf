"""Traffic generator: seeded requests of every kind, and the policy they are asked under. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from refrain.schemas.policy import Cacheable, CategoryPolicy, ModelPolicy, Policy, Quota
from refrain.schemas.policy_limits import Limits
from refrain.schemas.policy_rules import Match, Rule
from refrain.schemas.requests import CacheMode, Request
from refrain.streams.models.hashing_embedder import HashingEmbedder
from tests.streams.models.made_hit_heads import strict_head

TENANTS = ("acme", "globex", "initech")
CATEGORIES = ("code", "chat", "finance", "legal")
NEVER = "medical"
MODELS = ("sim-small", "sim-large")
TAGS = ("guide", "faq", "news")
FOCUS = ("acme", "chat")
"""Tenant and category of most questions when room is tight."""
SYSTEM = "You answer in one sentence."
KINDS = {
    "new": 0.32, "repeat": 0.27, "reworded": 0.22, "at_once": 0.05, "failing": 0.03,
    "never": 0.04, "bypass": 0.02, "refresh": 0.02, "observe": 0.02, "only": 0.01,
}  # fmt: skip
"""Shares of the kinds of requests; each `at_once` is a burst of several."""
BURST = (2, 5)
HEAD = strict_head(2_000, embedder=HashingEmbedder.identity, dim=HashingEmbedder.dim)
_SYLLABLES = tuple(c + v for c in "bdfgklmnprstvz" for v in "aeiou")
_OPENINGS = ("", "please ", "can you please ", "so ", "would you please ", "may i ask: ")
_CLOSINGS = ("", "?", " please?", "!")


@dataclass(frozen=True)
class Base:
    """A question that others repeat or reword."""

    tenant: str
    category: str
    model: str
    system: bool
    words: str

    @property
    def tag(self) -> str:
        """The tag of its questions, which says nothing of what may be compared."""
        return TAGS[sum(self.words.encode()) % len(TAGS)]


def requests(seed: int, count: int, *, focused: bool = False) -> list[Request]:
    """`count` requests, the same for the same seed. `focused` puts most questions into one namespace."""
    draw = random.Random(f"traffic/{seed}")
    made: list[Request] = []
    for request in _endless(draw, focused):
        made.append(request.model_copy(update={"request_id": f"r{len(made)}"}))
        if len(made) == count:
            break
    return made


def policy(*, hnsw_from: int = 4_096, cap: int = 100_000) -> Policy:
    """Four categories that are kept, one that never is; load moves thresholds, so that its commands matter."""
    kept = {
        name: CategoryPolicy(
            # The words are made up: the guards that read English do not apply to them.
            unverified="hit",
            threshold=0.9,
            threshold_floor=0.86,
            ttl_ms=86_400_000,
            ttl_cap_ms=172_800_000,
            quota=Quota(cap=cap),
            # In one of them a head takes its little part, so that what it reads travels and is folded again.
            hit_head=HEAD.version if name == CATEGORIES[0] else None,
        )
        for name in CATEGORIES
    }
    return Policy(
        categories={**kept, NEVER: CategoryPolicy(cache=Cacheable.NEVER)},
        rules=(Rule(when=Match(tag="patient"), category=NEVER),),
        models={name: ModelPolicy(latency_target_ms=20.0, queue_target=16.0) for name in MODELS},
        limits=Limits(hnsw_from=hnsw_from),
        hit_heads=(HEAD,),
    )


def ask_again(request: Request) -> Request:
    """The same question, asked plainly."""
    return request.model_copy(update={"cache": CacheMode.USE})


def question(request: Request) -> str:
    """The text that is asked."""
    text: str = request.body["messages"][-1]["content"]
    return text


def _endless(draw: random.Random, focused: bool) -> Iterator[Request]:
    bases = [_base(draw, focused)]
    yield _request(bases[0], bases[0].words)
    while True:
        kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
        known = draw.choice(bases)
        match kind:
            case "new":
                bases.append(_base(draw, focused))
                yield _request(bases[-1], bases[-1].words)
            case "repeat":
                yield _request(known, known.words)
            case "reworded":
                yield _request(known, _reworded(draw, known.words))
            case "at_once":
                bases.append(_base(draw, focused))
                for _ in range(draw.randint(*BURST)):
                    yield _request(bases[-1], _reworded(draw, bases[-1].words))
            case "failing":
                failing = _base(draw, focused)
                yield _request(failing, f"{failing.words} [simulate:fail]")
            case "never":
                patient = _base(draw, focused)
                yield _request(patient, patient.words).model_copy(update={"tags": ("patient",)})
            case _:
                yield _request(known, known.words).model_copy(update={"cache": CacheMode(kind)})


def _base(draw: random.Random, focused: bool) -> Base:
    tenant, category = draw.choice(TENANTS), draw.choice(CATEGORIES)
    if focused and draw.random() < 0.7:
        tenant, category = FOCUS
    words = " ".join("".join(draw.choices(_SYLLABLES, k=3)) for _ in range(6))
    model = MODELS[0] if focused and (tenant, category) == FOCUS else draw.choice(MODELS)
    return Base(tenant, category, model, draw.random() < 0.2, words)


def _reworded(draw: random.Random, words: str) -> str:
    return draw.choice(_OPENINGS) + words + draw.choice(_CLOSINGS)


def _request(base: Base, text: str) -> Request:
    system = [{"role": "system", "content": SYSTEM}] if base.system else []
    return Request(
        tenant=base.tenant,
        category=base.category,
        tags=(base.tag,),
        body={"model": base.model, "messages": [*system, {"role": "user", "content": text}]},
    )
