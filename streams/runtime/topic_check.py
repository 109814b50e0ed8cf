"""Checks at the start of a processor that it may use the topics which the table of topics gives it."""

from __future__ import annotations

from refrain.schemas.topics import needs
from refrain.streams.errors import Forbidden, WrongSetup
from refrain.streams.kafka.interface import Cluster


def require_topics(cluster: Cluster, processor: str) -> None:
    """Check the topics that a processor of the table reads, writes or describes, and name all that it lacks.

    Raises WrongSetup when topics do not exist; Forbidden, which is one, when all that is wrong is missing ACLs.
    """
    problems: dict[str, WrongSetup] = {}
    for topic in needs(processor):
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
