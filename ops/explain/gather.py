"""Gathers what is known of a decision: its question, the entries it names, the policy, who else was served."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple

from refrain.ops.cluster.decisions import CLOCKS_MS, decision_of
from refrain.ops.cluster.stretch import Stretch
from refrain.ops.explain.journal import TOPIC as JOURNAL
from refrain.ops.explain.journal import Admission, JournalReader, Question
from refrain.ops.explain.policies import AppliedPolicy, chosen_by, policy_of
from refrain.ops.explain.subject import TOPIC, known_id
from refrain.ops.explain.words import WeighedAgain, guards_in_the_way, weigh_again
from refrain.schemas.decisions import Candidate, Decision, Reason
from refrain.schemas.policy import CategoryPolicy, Guard
from refrain.schemas.responses import Outcome
from refrain.streams.errors import WrongSetup
from refrain.streams.kafka.interface import Cluster
from refrain.streams.messaging.ids import parse_entry_id
from refrain.streams.shard.behaviour import BEHAVIOUR, is_of_this_version

WHO_HITS = 200
"""Hits of it after which no more are looked for."""
CANDIDATES = 4
"""Candidates, the best ones, whose questions are read."""
WHO_RECORDS = 20_000
"""Decisions of the entry's partition that are looked through for who else was served, from its admission on."""

VERDICTS = {
    Reason.GUARD_REFUSED: "guard:",
    Reason.EXPIRED: "expired",
    Reason.WITHDRAWN: "withdrawn",
    Reason.AMBIGUOUS: "ambiguous",
    Reason.UNCORROBORATED: "uncorroborated",
    Reason.VERIFIER_REFUSED: "verifier",
    Reason.VERIFIER_SILENT: "verifier",
    Reason.HEAD_REFUSED: "head",
}
"""How the verdict on the candidate begins that a reason speaks of."""


class Served(NamedTuple):
    """The decisions that were served from an entry, oldest first; not `complete` where not all were looked at."""

    decisions: tuple[Decision, ...]
    complete: bool


@dataclass(frozen=True, kw_only=True)
class DecisionFacts:
    """Facts of a decision. Without the journal or `control` what they hold is not there, and `missing` says why."""

    decision: Decision
    question: Question | None = None
    admissions: dict[str, Admission] = field(default_factory=dict)
    """By entry id, of what served and of the best candidates."""
    policy: AppliedPolicy | None = None
    chosen: AppliedPolicy | None = None
    """The policy under which the category was chosen."""
    served: Served | None = None
    missing: tuple[str, ...] = ()
    with_text: bool = True

    @property
    def category(self) -> CategoryPolicy | None:
        """The category's terms in the policy that decided."""
        name = self.decision.category
        return None if self.policy is None or name is None else self.policy.policy.of(name)

    @property
    def best(self) -> Candidate | None:
        """The candidate that the reason speaks of; else one that similarity did not rule out, else the most similar."""
        listed = self.decision.candidates
        sign = VERDICTS.get(self.decision.reason)
        meant = [each for each in listed if sign is not None and each.verdict.startswith(sign)]
        able = [each for each in listed if each.verdict not in ("below_threshold", "not_needed")]
        return max(meant or able or listed, key=lambda each: each.similarity, default=None)

    def text(self) -> str | None:
        """The question's text, where it is known and may be shown."""
        return self._asked() if self.with_text else None

    def text_of(self, entry_id: str | None) -> str | None:
        """The text of an entry's question, where it is known and may be shown."""
        return self._kept(entry_id) if self.with_text else None

    def weighed(self, entry_id: str) -> WeighedAgain | None:
        """The guards' evidence on the question and that of an entry, weighed again; None where a text is missing."""
        asked, kept, policy = self._asked(), self._kept(entry_id), self.category
        if asked is None or kept is None or policy is None or not policy.guards:
            return None
        return weigh_again(entry_id, asked, kept, policy)

    def in_the_way(self, candidate: Candidate) -> tuple[Guard, ...] | None:
        """The guards that kept a candidate from serving; None where that cannot be told, or it was not they."""
        asked, kept, policy, threshold = self._asked(), self._kept(candidate.entry_id), self.category, self.threshold
        if asked is None or kept is None or policy is None or threshold is None or not policy.guards:
            return None
        return guards_in_the_way(asked, kept, candidate.similarity, threshold, policy)

    @property
    def threshold(self) -> float | None:
        """The threshold in force."""
        return self.decision.threshold

    def _asked(self) -> str | None:
        return None if self.question is None else self.question.asked.question.data

    def _kept(self, entry_id: str | None) -> str | None:
        found = self.admissions.get(entry_id or "")
        return None if found is None or found.key is None else found.key.question.data


def gather(cluster: Cluster, decision: Decision, *, with_text: bool = True, who: bool = False) -> DecisionFacts:
    """Gather the facts of a decision. `who`: look through all decisions since the entry's admission.

    Raises ClusterFailed, or WrongSetup where not even `decisions` may be read.
    """
    missing: list[str] = []
    question, admissions = _from_journal(cluster, decision, missing)
    policy, chosen = _from_control(cluster, decision, missing)
    if decision.behaviour and not is_of_this_version(decision.behaviour):
        missing.append(f"the guards that decided: {decision.behaviour} did, and {BEHAVIOUR} weighs the texts here")
    return DecisionFacts(
        decision=decision,
        question=question,
        admissions=admissions,
        policy=policy,
        chosen=chosen,
        served=_served(cluster, decision, who),
        missing=tuple(missing),
        with_text=with_text,
    )


def served_from(
    cluster: Cluster, partition: int, entry_id: str, since_ms: int, most: int | None, hits: int | None = None
) -> Served:
    """The hits of an entry among the decisions of its partition since a time.

    `most` records are looked at, and no more after that many `hits`; None: all.
    """
    if partition not in cluster.ends(TOPIC):
        return Served((), True)
    start = cluster.offsets_at(TOPIC, max(0, since_ms - CLOCKS_MS)).get(partition, 0)
    stretch = Stretch(cluster, TOPIC, partition, start, most)
    sign = f'"{entry_id}"'.encode()
    found = []
    for record in stretch.sift(lambda _, value: sign in (value or b"")):
        decision = decision_of(record)
        if decision is not None and decision.entry_id == entry_id and decision.outcome is Outcome.HIT:
            found.append(decision)
            if len(found) == hits:
                return Served(tuple(found), False)
    return Served(tuple(found), stretch.is_whole)


def _served(cluster: Cluster, decision: Decision, who: bool) -> Served | None:
    if decision.entry_id is None:
        return None
    admitted_ms = decision.time_ms - (decision.entry_age_ms or 0)
    most, hits = (None, None) if who else (WHO_RECORDS, WHO_HITS)
    return served_from(cluster, decision.partition, decision.entry_id, admitted_ms, most, hits)


def _from_journal(
    cluster: Cluster, decision: Decision, missing: list[str]
) -> tuple[Question | None, dict[str, Admission]]:
    """The question and what admitted the entries; `missing` is told what cannot be read."""
    incarnation = known_id(cluster, JOURNAL)
    if incarnation is not None and decision.journal != incarnation:
        missing.append("the texts: the decision is of an earlier journal, which was deleted")
        return None, {}
    try:
        with closing(JournalReader(cluster)) as journal:
            question = journal.question(decision.partition, decision.offset, decision.id)
            admissions = dict(_admissions(journal, decision, incarnation))
    except WrongSetup as refused:
        missing.append(f"the texts: the journal may not be read ({refused})")
        return None, {}
    if question is None:
        missing.append(_why_no_question(decision))
    return question, admissions


def _why_no_question(decision: Decision) -> str:
    if decision.outcome is Outcome.BYPASS:
        return "the question's text: it passed the cache by, and the journal keeps none of such"
    return "the question's text: retention took it from the journal"


def _admissions(journal: JournalReader, decision: Decision, incarnation: str | None) -> Iterator[tuple[str, Admission]]:
    best = sorted(decision.candidates, key=lambda each: -each.similarity)[:CANDIDATES]
    named = dict.fromkeys([decision.entry_id, *(each.entry_id for each in best)])
    for id_ in filter(None, named):
        place = parse_entry_id(id_)
        if place is None or place.partition != decision.partition or not place.is_of(incarnation or place.tag):
            continue
        found = journal.admission(place.partition, place.offset)
        if found is not None:
            yield id_, found


def _from_control(
    cluster: Cluster, decision: Decision, missing: list[str]
) -> tuple[AppliedPolicy | None, AppliedPolicy | None]:
    chosen = chosen_by(decision.classifier)
    wanted = decision.policy_version, None if chosen is None else chosen.version
    try:
        found = {version: policy_of(cluster, version) for version in wanted if version is not None}
    except WrongSetup as refused:
        missing.append(f"the policy's lines: `control` may not be read ({refused})")
        return None, None
    for version, policy in found.items():
        if policy is None:
            missing.append(f"the lines of policy {version}: `control` does not hold it any more")
    return found.get(wanted[0] if wanted[0] is not None else -1), found.get(wanted[1] if wanted[1] is not None else -1)
