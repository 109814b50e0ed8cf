"""Rights of the roles on topics: who needs which, why, and what a hostile holder of it could do.

`refrain topics acls --why` prints it. Its rights are those of the table of topics, no more and no fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from refrain.schemas.topics import AUDITORS, CLIENTS, CONNECTORS, OPERATORS

Operation = Literal["Read", "Write"]


class Right(NamedTuple):
    """Right of a role on topics, with why it needs it and what a hostile holder could do with it."""

    role: str
    operation: Operation
    topics: tuple[str, ...]
    why: str
    hostile: str


_BURIES = "keeps what it cannot take, with the reason"
_LITTER = "fill the disk, and mislead who looks into them"

RIGHTS: tuple[Right, ...] = (
    Right(CLIENTS, "Write", ("requests",), "ask",
          "ask at your cost, and for any tenant unless `classify.tenants` binds requests to theirs"),
    Right(CLIENTS, "Read", ("progress",), "hear answers while they are made", "read every streamed answer there"),
    Right(CLIENTS, "Read", ("responses",), "hear the answers",
          "read every answer there, also those to others: give who may not a reply topic of their own instead"),
    Right(CONNECTORS, "Read", ("forwards",), "take questions to a model",
          "read every question that the cache does not answer, `never` ones too"),
    Right(CONNECTORS, "Write", ("completions",), "bring the model's answers back",
          "answer what was forwarded to them, wrongly, and have it kept; without a signed route nothing else"),
    Right(CONNECTORS, "Write", ("load",), "report how busy models are",
          "lower thresholds and lengthen lifetimes as far as the policy's floors and caps, or keep them as they are"),
    Right(AUDITORS, "Read", ("decisions", "comparisons"), "look back at what was decided",
          "learn tenants, categories, times and similarities; no text stands there"),
    Right(OPERATORS, "Write", ("requests",), "`refrain ask`", "ask for any tenant"),
    Right(OPERATORS, "Write", ("control",), "policies, invalidations, judgements, switches, imports",
          "everything that the service does: put any policy into force, withdraw every answer, have any other kept"),
    Right(OPERATORS, "Read",
          ("requests", "responses", "journal", "documents", "decisions", "forwards", "completions", "progress", "load",
           "control",
           "policies", "acknowledgements", "stats", "doubts", "observations", "comparisons", "dead-letters"),
          "doctor, watch, stats, replay and waiting for commands", "read every question and answer"),
    Right("classify", "Read", ("requests",), "takes questions", "read every question"),
    Right("classify", "Read", ("policies",), "acts by the policy in force", "learn its rules and examples"),
    Right("classify", "Read", ("journal",), "recalls what another worker asked and did not commit",
          "read every question and answer that may be kept"),
    Right("classify", "Write", ("journal",), "asks the shards",
          "answer, withdraw and poison everything: what stands in the journal is done"),
    Right("classify", "Write", ("forwards",), "passes by what is not looked up",
          "have the model asked anything; with the key of routes, have answers sent to anybody's reply topic"),
    Right("classify", "Write", ("responses",), "refuses requests", "answer any request wrongly; nothing is kept"),
    Right("classify", "Write", ("progress",), "tells that a question passes by", "tell so wrongly"),
    Right("classify", "Write", ("acknowledgements",), "tells that it acts by a policy",
          "let a policy count as in force where it is not"),
    Right("classify", "Write", ("dead-letters",), _BURIES, _LITTER),
    Right("lookup", "Read", ("journal",), "folds the shards", "read every question and answer that may be kept"),
    Right("lookup", "Read", ("documents",), "restores the shards", "the same"),
    Right("lookup", "Write", ("journal",), "lets time pass where nothing else comes",
          "answer, withdraw and poison everything"),
    Right("lookup", "Write", ("documents",), "keeps the shards", "poison every shard, found out at its next restore"),
    Right("lookup", "Write", ("decisions", "stats"), "records what was decided and held",
          "falsify the record; have govern judge decisions that were never made"),
    Right("lookup", "Write", ("forwards",), "asks the model",
          "have the model asked anything; with the key of routes, have answers sent to anybody's reply topic"),
    Right("lookup", "Write", ("responses",), "answers", "answer any request wrongly; nothing is kept"),
    Right("lookup", "Write", ("progress",), "tells that a question waits for a model", "tell so wrongly"),
    Right("lookup", "Write", ("doubts",), "asks for second opinions",
          "keep verify busy, and have it give opinions that nobody asked for"),
    Right("lookup", "Write", ("observations",), "has answers compared", "falsify comparisons"),
    Right("lookup", "Write", ("acknowledgements",), "tells that a command is folded",
          "let a command count as in force where it is not"),
    Right("lookup", "Write", ("dead-letters",), _BURIES, _LITTER),
    Right("populate", "Read", ("completions",), "takes answers", "read every answer of a model"),
    Right("populate", "Read", ("policies",), "acts by the policy in force", "learn its rules and examples"),
    Right("populate", "Write", ("journal",), "brings answers to the shards",
          "answer, withdraw and poison everything"),
    Right("populate", "Write", ("responses",), "answers who bypassed the cache",
          "answer any request wrongly; nothing is kept"),
    Right("populate", "Write", ("acknowledgements",), "tells that it acts by a policy",
          "let a policy count as in force where it is not"),
    Right("populate", "Write", ("dead-letters",), _BURIES, _LITTER),
    Right("upstream", "Read", ("forwards",), "takes questions to the model",
          "read every question that the cache does not answer, `never` ones too"),
    Right("upstream", "Read", ("completions",), "knows after a crash what it answered", "read every answer of a model"),
    Right("upstream", "Write", ("completions",), "brings the model's answers back",
          "answer what was forwarded to it, wrongly, and have it kept; without a signed route nothing else"),
    Right("upstream", "Write", ("progress",), "tells answers while the model makes them",
          "show a beginning of an answer that is not the model's"),
    Right("upstream", "Write", ("load",), "reports how busy models are",
          "lower thresholds and lengthen lifetimes as far as the policy's floors and caps, or keep them as they are"),
    Right("upstream", "Write", ("dead-letters",), _BURIES, _LITTER),
    Right("govern", "Read", ("control",), "takes commands",
          "learn policies and what was withdrawn, read what was imported"),
    Right("govern", "Read", ("decisions",), "finds what is judged", "learn tenants, categories and times; no text"),
    Right("govern", "Read", ("policies",), "knows what is in force", "learn its rules and examples"),
    Right("govern", "Write", ("journal",), "brings commands to the shards", "answer, withdraw and poison everything"),
    Right("govern", "Write", ("policies",), "puts policies in force",
          "put any policy into force: `never` text is kept from then on"),
    Right("govern", "Write", ("dead-letters",), _BURIES, _LITTER),
    Right("adapt", "Read", ("load",), "smooths load", "learn how busy models are"),
    Right("adapt", "Read", ("policies",), "knows the targets of models", "learn its rules and examples"),
    Right("adapt", "Write", ("control",), "tells the shards of load",
          "everything that operators can: whoever writes control commands the service"),
    Right("adapt", "Write", ("dead-letters",), _BURIES, _LITTER),
    Right("compare", "Read", ("observations",), "compares answers", "read observed answers, of all tenants"),
    Right("compare", "Write", ("comparisons",), "tells how they compare", "make a bad cache look good"),
    Right("compare", "Write", ("dead-letters",), _BURIES, _LITTER),
    Right("verify", "Read", ("doubts",), "gives second opinions", "read doubted questions, of all tenants"),
    Right("verify", "Write", ("journal",), "brings its opinions to the shards",
          "answer, withdraw and poison everything"),
    Right("verify", "Write", ("dead-letters",), _BURIES, _LITTER),
    Right("edge", "Write", ("requests",), "asks for those who come by HTTP",
          "ask at your cost, and for any tenant: it is who tells whose requests are"),
    Right("edge", "Read", ("responses", "progress"), "hears the answers", "read every answer there"),
)  # fmt: skip
"""In the order in which people ask: outside first, then the processors."""


def rights_of(roles: Sequence[str]) -> list[Right]:
    """The rights of these roles, in the order of the table of rights."""
    return [right for right in RIGHTS if right.role in roles]
