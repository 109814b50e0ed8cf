"""Plans an import: every line is checked, and becomes a command or a reason, before anything is sent.

An answer that is kept here for the same text is never replaced, so what is imported twice is kept once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import ValidationError

from refrain.ops.cluster.kept import kept_entries
from refrain.ops.transfer.file import ExportFile, Line
from refrain.schemas.control import ImportEntry
from refrain.schemas.documents import Entry
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy
from refrain.streams.errors import BadInput
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.responses import whole
from refrain.streams.messaging.shards import space_of
from refrain.streams.shard.adaptation import lifetime_max
from refrain.streams.shard.index.entries import namespace_of, text_key
from refrain.streams.vectors import decode, squared_norm

COMMAND_BYTES_MAX = 1_000_000
"""The largest command; `control` takes a little more."""

Key = bytes
"""What there is one entry of: a namespace and a text."""


class Terms(NamedTuple):
    """What the plan of an import depends on."""

    policy: Policy
    """The policy in force."""
    embedder: str
    """Identity of the embedder of the settings."""
    held: frozenset[Key]
    """What is kept here."""
    keep_age: bool
    who: str
    why: str
    now_ms: int


@dataclass
class Plan:
    """What an import would do."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Entries to be sent, by tenant and category."""
    kept_already: int = 0
    expired: int = 0
    """With their age kept, their lifetime is over."""
    too_large: int = 0
    keys: set[Key] = field(default_factory=set)
    """Of those to be sent."""

    @property
    def sent(self) -> int:
        """How many are to be sent."""
        return sum(self.counts.values())


def check_header(file: ExportFile, name: str, embedder: str) -> None:
    """Raises BadInput for a file that is not to be imported here."""
    header = file.header
    if header.kind != "entries":
        raise BadInput(
            f"{name} is a range of the journal: entries alone are imported (`refrain export entries`);"
            " `refrain replay --from-file` folds a journal again, into topics of another prefix"
        )
    if header.redacted:
        raise BadInput(f"{name} is redacted: it has digests in place of questions and answers, and can warm no cache")
    others = [each for each in header.embedders if each != embedder]
    if others:
        raise BadInput(
            f"{name} has vectors of the embedder {others[0]}, and the settings load {embedder}: vectors of two"
            " embedders do not compare; import where that embedder runs, or ask the questions anew"
        )


def plan_of(file: ExportFile, name: str, terms: Terms) -> Plan:
    """Check the whole file. Raises BadInput naming the line that is wrong, and then nothing of it is imported."""
    plan = Plan()
    for _ in _planned(file, name, terms, plan):
        pass
    return plan


def commands_of(file: ExportFile, name: str, terms: Terms) -> Iterator[ImportEntry]:
    """The commands of a file that has been planned, in its order."""
    return _planned(file, name, terms, Plan())


def held_keys(records: Iterable[Record]) -> frozenset[Key]:
    """What is kept, of the records of `documents` in their order."""
    return frozenset(kept_entries(records, lambda _, entry: key_of(entry, entry.space)))


def key_of(entry: Entry, space: str) -> Key:
    """What there is one entry of."""
    space_ = namespace_of(space, entry.category, entry.embedder, entry.context)
    return space_ + text_key(space, entry.category, entry.text_digest)


def _planned(file: ExportFile, name: str, terms: Terms, plan: Plan) -> Iterator[ImportEntry]:
    dimensions: set[int] = set()
    for line in file.lines():
        where = f"{name}, line {line.number}"
        entry = _entry(line, where)
        category = _category(entry, terms.policy, where)
        _check(entry, terms.embedder, dimensions, where)
        key = key_of(entry, space_of(entry, category))
        command = _command(entry, line, terms, where)
        if key in terms.held or key in plan.keys:
            plan.kept_already += 1
        elif terms.keep_age and _leaves_ms(entry, category) <= terms.now_ms:
            plan.expired += 1
        elif len(command.encode()) > COMMAND_BYTES_MAX:
            plan.too_large += 1
        else:
            plan.keys.add(key)
            plan.counts[entry.tenant, entry.category] += 1
            yield command


def _entry(line: Line, where: str) -> Entry:
    try:
        return Entry.model_validate_json(json.dumps(line.value.get("entry")))
    except ValidationError as error:
        raise BadInput(f"{where}: {_first(error)}") from error


def _category(entry: Entry, policy: Policy, where: str) -> CategoryPolicy:
    found = policy.of(entry.category)
    if found is None or found.cache is Cacheable.NEVER:
        kept = ", ".join(sorted(name for name, of in policy.categories.items() if of.cache is not Cacheable.NEVER))
        why = "has no category" if found is None else "keeps nothing of category"
        raise BadInput(f"{where}: the policy in force {why} {entry.category!r}; it keeps {kept or 'none'}")
    return found


def _check(entry: Entry, embedder: str, dimensions: set[int], where: str) -> None:
    """Check what the model does not: that texts are plain, the answer is one, and vectors fit together."""
    if entry.embedder != embedder:
        raise BadInput(f"{where}: a vector of the embedder {entry.embedder}, and the settings load {embedder}")
    for sealed, what in ((entry.question, "question"), (entry.answer, "answer")):
        if sealed.key_id != "plain":
            raise BadInput(f"{where}: the {what} is sealed with the key {sealed.key_id!r}, which is not known here")
    try:
        whole(json.loads(entry.answer.data))
    except (ValueError, RecursionError):
        raise BadInput(f"{where}: the answer is no projection of a chat.completion") from None
    if entry.vector is None:
        return
    try:
        vector = decode(entry.vector)
        sound = squared_norm(vector) > 0
    except ValueError:
        sound = False
    if not sound:
        raise BadInput(f"{where}: the vector is no vector of record")
    others = dimensions - {len(vector)}
    if others:
        raise BadInput(f"{where}: a vector of {len(vector)} dimensions among others of {min(others)}")
    dimensions.add(len(vector))


def _command(entry: Entry, line: Line, terms: Terms, where: str) -> ImportEntry:
    try:
        return ImportEntry.model_validate(
            entry.question_key()
            | {
                "who": terms.who,
                "why": terms.why,
                "answer": entry.answer,
                "admitted_at_ms": entry.admitted_at_ms if terms.keep_age else None,
                "latency_ms": entry.latency_ms,
                "tokens": entry.tokens,
                "origin": str(line.value.get("id", ""))[:256],
            }
        )
    except ValidationError as error:
        raise BadInput(f"{where}: {_first(error)}") from error


def _leaves_ms(entry: Entry, category: CategoryPolicy) -> int:
    over_ms = entry.admitted_at_ms + lifetime_max(category)
    return over_ms if entry.expires_at_ms is None else min(over_ms, entry.expires_at_ms)


def _first(error: ValidationError) -> str:
    """The first thing that is wrong. Not its input: that is a text of a user."""
    found = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, found['loc'])) or 'the entry'}: {found['msg']}"
