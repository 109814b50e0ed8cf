"""Rules of a policy: which requests belong to which category."""

from __future__ import annotations

from pydantic import field_validator, model_validator

from refrain.schemas.base import Name, Strict
from refrain.schemas.policy_flaws import regular_expression


class Match(Strict):
    """What a rule looks at; all that is given must match. `pattern` is searched in the question."""

    tenant: Name | None = None
    """The request's tenant."""
    model: str | None = None
    """The model that the request names."""
    tag: str | None = None
    """One of the request's tags."""
    pattern: str | None = None
    """A regular expression, searched in the question."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        return pattern if pattern is None else regular_expression(pattern)

    @model_validator(mode="after")
    def _not_empty(self) -> Match:
        if not any((self.tenant, self.model, self.tag, self.pattern)):
            raise ValueError("a rule must name a tenant, model, tag or pattern")
        return self


class Rule(Strict):
    """Requests that match belong to `category`. Rules into `never` categories win over everything."""

    when: Match
    """What a request must be like."""
    category: Name
    """The category that it then belongs to."""
