"""Checks at the start of a processor that it may use the topics which the table of topics gives it."""

from __future__ import annotations

from collections.abc import Mapping

from refrain.schemas.topics import needs
from refrain.streams.errors import Forbidden, LoginRefused, WrongSetup
from refrain.streams.kafka.interface import BATCH_OVERHEAD_BYTES, Cluster

KEY_BYTES_MAX = 1_000
"""More than the keys of Refrain's own topics take."""


def require_topics(cluster: Cluster, processor: str, in_place: Mapping[str, str] | None = None) -> None:
    """Check the topics that a processor of the table reads, writes or describes, and name all that it lacks.

    `in_place` names other topics that it uses in place of some of the table.
    Raises WrongSetup when topics do not exist; Forbidden, which is one, when all that is wrong is missing ACLs;
    LoginRefused.
    """
    problems: dict[str, WrongSetup] = {}
    for named in needs(processor):
        topic = (in_place or {}).get(named, named)
        try:
            cluster.partitions(topic)
        except LoginRefused:
            raise
        except WrongSetup as problem:
            problems[topic] = problem
    if len(problems) == 1:
        raise next(iter(problems.values()))
    if problems:
        raise _together(processor, problems)


def require_room(cluster: Cluster, processor: str, room: Mapping[str, int]) -> None:
    """Check that topics take records, or batches, of so many bytes with their overhead; `room` has them by topic.

    Raises WrongSetup naming all that take less. Of a topic whose settings this user may not read the broker decides.
    """
    targets = cluster.targets(tuple(room))
    needed = {topic: size + BATCH_OVERHEAD_BYTES + KEY_BYTES_MAX for topic, size in room.items()}
    short = {topic: needed[topic] for topic in room if topic in targets and targets[topic].bytes_max < needed[topic]}
    if short:
        listed = ", ".join(f"{topic} {targets[topic].bytes_max}, needed {size}" for topic, size in short.items())
        raise WrongSetup(
            f"{processor} writes larger records than topics take (max.message.bytes of {listed}): raise it, as"
            " `refrain topics list` has it"
        )


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
