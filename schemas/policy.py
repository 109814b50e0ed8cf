"""The policy: what may be cached, how near is near enough, for how long, in how much room.

One document holds all categories, the rules that route requests to them, the models' load targets
and the limits that steer the fold. A shard gets it as `PolicySet`, so that a replay needs nothing else.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from refrain.schemas.base import AskerNames, Name, Strict
from refrain.schemas.hit_heads import HitHead
from refrain.schemas.policy_flaws import Flaw, refuse, regular_expression
from refrain.schemas.policy_limits import EVERY_TENANT, Limits, TenantLimits
from refrain.schemas.policy_rules import Rule

POLICY_BYTES_MAX = 1_000_000
"""The largest policy record, some 1,100 categories; the topic takes a little more."""
POLICY_PARTS_MAX = {"categories": 2_000, "rules": 15_000, "models": 11_000, "tenants": 10_000}
"""Parts of a policy, by the field that holds them: more than fit into the largest record, however little each says."""
HEADS_MAX = 4
"""Trained heads of one policy: it has to fit into one record."""
UNCATEGORISED = "uncategorised"
"""The category of questions that no rule and no example claims."""


REQUEST_IDS = ("prompt_cache_key", "prompt_cache_retention", "safety_identifier", "request_id", "rid")
"""Body fields that name a request or who is behind it to the server, and how long it keeps prompts: left out of the
context unless a policy says otherwise. `user` and `metadata` are not among them: some servers answer by them."""
ANSWER_FIELDS = frozenset(
    {
        "model",
        "messages",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "functions",
        "function_call",
        "response_format",
        "n",
        "logprobs",
        "top_logprobs",
        "modalities",
        "audio",
        "stop",
    }
)
"""Body fields that say what is answered, or in which form: no policy may leave them out."""


class Cacheable(StrEnum):
    """Whether a category's answers may be kept and served."""

    ALLOW = "allow"
    OBSERVE = "observe"
    NEVER = "never"


class Guard(StrEnum):
    """Checks of what cosine similarity cannot see."""

    NUMBERS = "numbers"
    """Numbers and units."""
    NEGATION = "negation"
    """Negation and antonyms."""
    NAMES = "names"
    """Named things, identifiers, paths, versions, dates."""
    ORDER = "order"
    """Word order and swapped roles."""
    CODE = "code"
    """Code tokens."""
    QUESTION = "question"
    """Question type: who, when, how many."""
    WORDS = "words"
    """Little words, persons, capitals and signs where all the rest is the same."""
    PAYLOAD = "payload"
    """The text that a request handles: what is to be translated, summed up, corrected."""
    INSTRUCTION = "instruction"
    """What stands beside a question and tells how to answer it: a sentence more, a suffix, a tag."""
    WORDING = "wording"
    """Other words: any difference that another guard of the category finds, also one that does not count by itself."""


class Strictness(StrEnum):
    """How much a difference between two questions weighs."""

    LENIENT = "lenient"
    """Half, and only where the texts overlap more."""
    NORMAL = "normal"
    STRICT = "strict"
    """Twice, and also where they overlap less."""


class Quota(Strict):
    """Entries that one tenant may hold in one category."""

    guaranteed: Annotated[int, Field(ge=0)] = 0
    """Room of its own: nobody else's entries push these out."""
    cap: Annotated[int, Field(ge=1)] = 10_000
    """The most entries."""

    @model_validator(mode="after")
    def _ordered(self) -> Quota:
        if self.guaranteed > self.cap:
            refuse("Quota", [Flaw(("guaranteed",), f"is above cap, which is {self.cap}", self.guaranteed)])
        return self


class ShortLived(Strict):
    """A lifetime of its own."""

    ttl_ms: Annotated[int, Field(gt=0)]
    """How long such an answer is good."""


class Required(Strict):
    """What a request must have of: one of them names who asks."""

    require: Annotated[tuple[AskerNames, ...], Field(min_length=1)]
    """What names who asks: the body's `user`, the request's `vary`, or earlier turns."""


_TABLES = {
    "volatile": "{ttl_ms: N} with N above 0",
    "personal": "{require: [...]} with one or more of user, vary, turns",
}


class CategoryPolicy(Strict):
    """The policy of one category. `threshold` is a cosine similarity; times are in milliseconds."""

    cache: Cacheable = Cacheable.ALLOW
    """Whether answers are kept and served."""
    threshold: Annotated[float, Field(ge=0.5, le=1.0)] = 0.87
    """The score from which a question counts as asked before: similarity, less what guards take off."""
    threshold_floor: Annotated[float, Field(ge=0.5, le=1.0)] | None = None
    """How low load may push the threshold; absent: not at all."""
    ttl_ms: Annotated[int, Field(gt=0)] = 86_400_000
    """How long an answer is good, in milliseconds."""
    ttl_cap_ms: Annotated[int, Field(gt=0)] | None = None
    """How long load may stretch the lifetime; absent: not at all."""
    stale_while_revalidate_ms: Annotated[int, Field(ge=0)] = 0
    """How long beyond its lifetime an answer may be served, once, while a new one is fetched; 0: never."""
    apology_ttl_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 60_000
    """The lifetime of an answer that says in prose that there is none (a refusal, an error's text); 0: none is kept."""
    false_hit_bound: Annotated[float, Field(gt=0, le=1)] = 0.05
    """The share of judged hits that may be false; beyond it load relaxes this category less."""
    quota: Quota = Quota()
    """The room of each tenant."""
    priority: Annotated[float, Field(gt=0, le=1_000_000)] = 1.0
    """What its entries are worth beside others'; another one takes effect with the next use of each entry."""
    scope: Literal["tenant", "shared"] = "tenant"
    """Whether tenants have entries of their own, or share one another's."""
    guards: tuple[Guard, ...] = tuple(Guard)
    """What is checked between a question and the one whose answer would serve it; all by default."""
    strictness: Strictness = Strictness.NORMAL
    """How much of a similarity the differences that guards find take off, and where they are vetoes."""
    veto: tuple[Guard, ...] = ()
    """Guards of which every difference is a veto, however the texts are worded."""
    unverified: Literal["miss", "hit", "frame"] = "miss"
    """What a match is when a guard does not apply to its language; `frame`: a miss where any word differs in texts that
    share a frame, or where the languages differ, else a hit."""
    hit_head: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")] | None = None
    """The version of the trained head, one of `hit_heads`, that takes its part off a similarity; absent: none does."""
    margin: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """How much more similar the best candidate must be than one with another answer; 0: by nothing."""
    corroborate: Annotated[int, Field(ge=1, le=2)] = 1
    """How many questions must have brought an answer before it is served by meaning; 2: a second, independent one
    too. Until then it serves the same text alone."""
    verify: Annotated[float, Field(ge=0, le=1)] | None = None
    """The least score of a second opinion (`verify`) with which a match by meaning is served; absent: none is asked."""
    threshold_ceiling: Annotated[float, Field(ge=0.5, le=1.0)] | None = None
    """How high judged hits may push the threshold; absent: they do not move it."""
    error_budget: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    """The share of hits that may be false, to which thresholds are calibrated."""
    volatile: Literal["allow", "never"] | ShortLived = "allow"
    """Questions whose answer depends on now: kept like others, never kept, or kept for a shorter time."""
    personal: Literal["allow", "never"] | Required = "allow"
    """Questions whose answer depends on who asks: kept like others, never, or where the request names the asker."""
    coalesce: bool = True
    """Whether a question waits for the answer to the same one that is on its way."""
    slices: Annotated[int, Field(ge=1, le=1024)] = 1
    """Over how many shard keys a tenant's questions are spread, by their context."""
    show_similarity: bool = False
    """Whether responses tell similarities and scores to all six digits; else to two, since they are of questions of
    others. Decisions have them all."""
    tool_calls: bool = False
    """Whether answers that call tools may be kept."""
    leave_out: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = REQUEST_IDS
    """Body fields that cannot change the answer here, kept out of the context digest; a list given replaces this."""
    mask: tuple[str, ...] = ()
    """Regular expressions whose matches in earlier messages do not count (a date in a system prompt)."""
    examples: tuple[Annotated[str, Field(min_length=1, max_length=2000)], ...] = ()
    """Questions of this category, for the nearest-example classifier."""

    @field_validator("leave_out")
    @classmethod
    def _cannot_change_the_answer(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [name for name in names if name in ANSWER_FIELDS]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} cannot be left out: other values are answered otherwise")
        return names

    @field_validator("volatile", "personal", mode="wrap")
    @classmethod
    def _is_word_or_table(cls, value: Any, read: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        try:
            return read(value)
        except ValidationError as error:
            # One mistake, told once: pydantic tells it for each form that the value might have had.
            raise ValueError(f"must be allow, never or {_TABLES[info.field_name or '']}") from error

    @field_validator("mask")
    @classmethod
    def _compiles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(regular_expression(p) for p in patterns)

    @model_validator(mode="after")
    def _ordered(self) -> CategoryPolicy:
        flaws = []
        if self.threshold_floor is not None and self.threshold_floor > self.threshold:
            flaws.append(
                Flaw(("threshold_floor",), f"is above threshold, which is {self.threshold}", self.threshold_floor)
            )
        if self.threshold_ceiling is not None and self.threshold_ceiling < self.threshold:
            flaws.append(
                Flaw(("threshold_ceiling",), f"is below threshold, which is {self.threshold}", self.threshold_ceiling)
            )
        if self.ttl_cap_ms is not None and self.ttl_cap_ms < self.ttl_ms:
            flaws.append(Flaw(("ttl_cap_ms",), f"is below ttl_ms, which is {self.ttl_ms}", self.ttl_cap_ms))
        refuse("CategoryPolicy", flaws)
        return self


class Prices(Strict):
    """What a model's tokens cost, in any one currency."""

    input_per_million: Annotated[float, Field(ge=0)] = 0.0
    """A million tokens of questions."""
    output_per_million: Annotated[float, Field(ge=0)] = 0.0
    """A million tokens of answers."""


class ModelPolicy(Strict):
    """When a model counts as overloaded, and what it costs. The weights of latency and queue add up to 1."""

    latency_target_ms: Annotated[float, Field(gt=0)] = 2_000.0
    """The 95th percentile of latency up to which there is no load."""
    queue_target: Annotated[float, Field(gt=0)] = 16.0
    """The queue up to which there is no load."""
    latency_weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    """How much latency counts; the queue counts the rest."""
    saturation: Annotated[float, Field(gt=1)] = 2.0
    """The pressure at which load reaches 1."""
    prices: Prices | None = None
    """What its tokens cost: a what-if tells money by it. Absent: it tells none."""


class Policy(Strict):
    """The whole policy document."""

    categories: dict[Name, CategoryPolicy]
    """The policy of each category, by its name."""
    rules: tuple[Rule, ...] = ()
    """What tells the category of a request that names none; the first that matches counts."""
    example_similarity: Annotated[float, Field(ge=0, le=1)] = 0.45
    """A question less similar than this to every example is uncategorised."""
    models: dict[str, ModelPolicy] = Field(default_factory=dict)
    """The load targets and prices of each model, by its name."""
    limits: Limits = Limits()
    """Bounds of every shard."""
    tenants: dict[Annotated[str, Field(pattern=r"^(\*|[A-Za-z0-9._-]{1,64})$")], TenantLimits] = Field(
        default_factory=dict
    )
    """What tenants may use of each shard, by name; `*` is for those without limits of their own."""
    hit_heads: Annotated[tuple[HitHead, ...], Field(max_length=HEADS_MAX)] = ()
    """The trained heads that categories name: they travel with the policy, so that a replay needs nothing else."""

    @model_validator(mode="after")
    def _closed(self) -> Policy:
        refuse("Policy", [*_strangers(self), *_over_the_total(self), *_headless(self)])
        return self

    def of(self, category: str) -> CategoryPolicy | None:
        """The policy of a category, None when it has none."""
        return self.categories.get(category)

    def limits_of(self, tenant: str) -> TenantLimits | None:
        """What the tenant may use of a shard, None when nothing is set."""
        return self.tenants.get(tenant) or self.tenants.get(EVERY_TENANT)

    def head_of(self, category: CategoryPolicy) -> HitHead | None:
        """The trained head of one of its categories, None where it has none."""
        return next((head for head in self.hit_heads if head.version == category.hit_head), None)


def _strangers(policy: Policy) -> list[Flaw]:
    """Rules into categories that are not there."""
    return [
        Flaw(("rules", number, "category"), "names a category that is not defined", rule.category)
        for number, rule in enumerate(policy.rules)
        if rule.category not in policy.categories
    ]


def _headless(policy: Policy) -> list[Flaw]:
    """Categories whose trained head is not there, or has no evidence of guards to read."""
    known = {head.version for head in policy.hit_heads}
    flaws = []
    for name, category in policy.categories.items():
        place = ("categories", name, "hit_head")
        if category.hit_head is not None and category.hit_head not in known:
            flaws.append(Flaw(place, "names a head that `hit_heads` does not hold", category.hit_head))
        elif category.hit_head is not None and not category.guards:
            flaws.append(Flaw(place, "needs guards: the head reads what they weigh", category.hit_head))
    return flaws


def _over_the_total(policy: Policy) -> list[Flaw]:
    """Quotas that a shard has no room for: a cap above its total, and the guarantee with which the sum passes it."""
    most = policy.limits.entries_max
    total = f"limits.entries_max, the total of a shard, which is {most}"
    flaws, guaranteed = [], 0
    for name, category in policy.categories.items():
        quota, place = category.quota, ("categories", name, "quota")
        if quota.cap > most:
            flaws.append(Flaw((*place, "cap"), f"is above {total}", quota.cap))
        before, guaranteed = guaranteed, guaranteed + quota.guaranteed
        if before <= most < guaranteed:
            text = f"with it the guaranteed quotas add up to {guaranteed}, above {total}"
            flaws.append(Flaw((*place, "guaranteed"), text, quota.guaranteed))
    return flaws
