"""Checks at the start of a processor that it may use the topics which the table of topics gives it."""

from __future__ import annotations

from collections.abc import Mapping

from refrain.schemas.topics import needs
from refrain.streams.errors import Forbidden, WrongSetup
from refrain.streams.kafka.interface import Cluster


def require_topics(cluster: Cluster, processor: str, in_place: Mapping[str, str] | None = None) -> None:
    """Check the topics that a processor of the table reads, writes or describes, and name all that it lacks.

    `in_place` names other topics that it uses in place of some of the table.
    Raises WrongSetup when topics do not exist; Forbidden, which is one, when all that is wrong is missing ACLs.
    """
    problems: dict[str, WrongSetup] = {}
    for named in needs(processor):
        topic = (in_place or {}).get(named, named)
        try:
            cluster.partitions(topic)
        except WrongSetup as problem:
            problems[topic] = problem
    if len(problems) == 1:
        raise next(iter(problems.values()))
    if problems:
        raise _together(processor, problems)


def _together(processor: str, problems: dict[str, WrongSetup]) -> WrongSetup:
    hidden = [topic for topic, problem in problems.items() if isinstance(problem, Forbidden)]
    missing = [topic for topic in problems if topic not in hidden]
    told = []
    if missing:
        told.append(f"{processor} needs topics that do not exist ({', '.join(missing)}): run `refrain topics create`")
    if hidden:
        told.append(
            f"{processor} may not see topics that it needs ({', '.join(hidden)}): grant its user the ACLs that"
            f" `refrain topics acls --role {processor}` prints"
        )
    return (WrongSetup if missing else Forbidden)("; ".join(told))
