"""The ACLs that each role needs, from the table of topics and the settings. Pure.

Write, Read and the like imply Describe on a broker; it is listed all the same, for authorizers that want it said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from refrain.ops.terminal.choices import suggestion
from refrain.ops.topics.table import topics_of
from refrain.schemas.topics import (
    AUDITORS,
    CLIENTS,
    CONNECTORS,
    CONSUMING,
    GROUPS,
    OPERATORS,
    ROLES,
    Topic,
    reads,
)
from refrain.streams.kafka.names import TENANT_TOPICS
from refrain.streams.settings import Settings

Resource = Literal["topic", "group", "transactional-id"]
Pattern = Literal["literal", "prefixed"]
ANY = "*"

TRANSACTIONAL: Mapping[str, tuple[str, Pattern]] = {
    "lookup": ("lookup-", "prefixed"),
    "govern": ("govern", "literal"),
    OPERATORS: ("resume", "literal"),
}
"""Transactional ids: govern has one, a lookup worker has one by the slot that it holds in its state folder, and
`policies resume` moves the end of `control` by one."""
SCAN = "scan"
"""The group that whole topics are read under. It has no members and keeps no positions."""
LOOKING: Mapping[str, tuple[str, ...]] = {
    OPERATORS: (SCAN, "ask", "lag", "watch"),
    CLIENTS: ("ask",),
    AUDITORS: ("watch",),
}
"""Groups of commands that read without joining: a broker is asked for their coordinator, and for nothing else."""
ANSWERING = ("classify", "lookup", "populate")
"""Processors that write to reply topics (`classify.reply_topics`)."""


class Acl(NamedTuple):
    """ACL: what a role may do with one resource, or with all whose names begin so (`prefixed`)."""

    resource: Resource
    name: str
    pattern: Pattern
    operations: tuple[str, ...]


class Grant(NamedTuple):
    """Grant: all that one principal may do; several roles of one name are one principal."""

    name: str
    roles: tuple[str, ...]
    acls: tuple[Acl, ...]


def acls_of(role: str, settings: Settings) -> list[Acl]:
    """The ACLs of one role under the settings' prefix: topics, groups, transactional ids."""
    prefix = settings.prefix
    found = [*_topics(role, settings), *_groups(role, prefix)]
    if role in ANSWERING:
        found += [_reply_topic(name) for name in settings.classify.reply_topics]
    if role in TRANSACTIONAL:
        name, pattern = TRANSACTIONAL[role]
        found.append(Acl("transactional-id", prefix + name, pattern, ("Write", "Describe")))
    return found


def grants(settings: Settings, roles: Sequence[str], names: Mapping[str, str]) -> list[Grant]:
    """Grants of each principal, in the order of the roles; `names` are those of principals, by role."""
    by_name: dict[str, list[str]] = {}
    for role in roles:
        by_name.setdefault(names.get(role, default_name(role, settings)), []).append(role)
    return [
        Grant(name + suffix, tuple(held), tuple(_merged(acl for role in held for acl in acls_of(role, seen))))
        for name, held in by_name.items()
        for suffix, seen in (_by_tenant(settings) if held == [CLIENTS] else [("", settings)])
    ]


def _by_tenant(settings: Settings) -> list[tuple[str, Settings]]:
    """What follows the name of a principal of clients, and what it may see: one a tenant where topics tell them."""
    topics = settings.classify.request_topics
    if settings.classify.tenants != "topic" or len(topics) == 1:
        return [("", settings)]
    return [
        (
            "-" + topic.removeprefix(TENANT_TOPICS),
            settings.model_copy(update={"classify": settings.classify.model_copy(update={"topics": (topic,)})}),
        )
        for topic in topics
    ]


def default_name(role: str, settings: Settings) -> str:
    """The principal of a role that nobody named: users, like topics, are the whole cluster's."""
    return "-".join(part for part in (settings.prefix.rstrip("._-"), role) if part)


def chosen_roles(wanted: Sequence[str]) -> list[str]:
    """The roles wanted (all when none is named), each once, in the order of the table. Raises ValueError."""
    for role in wanted:
        if role not in ROLES:
            raise ValueError(f"{role!r} is no role: {suggestion(role, ROLES)}")
    return [role for role in ROLES if not wanted or role in wanted]


def principal_names(pairs: Iterable[str]) -> dict[str, str]:
    """The names of principals, from `ROLE=NAME` each. Raises ValueError naming the pair that cannot be taken."""
    names: dict[str, str] = {}
    for pair in pairs:
        role, sign, name = pair.partition("=")
        if not sign or role not in ROLES:
            raise ValueError(f"{pair!r} is not ROLE=NAME with a role of {', '.join(ROLES)}")
        if role in names:
            raise ValueError(f"{role} has two principals, {names[role]!r} and {name!r}: name one")
        if not name.strip() or not name.isprintable() or name == ANY:
            raise ValueError(f"{pair!r} names no principal: give the user's name after the =")
        if name.startswith("User:"):
            raise ValueError(f"{pair!r}: leave `User:` out, every principal is a user")
        names[role] = name
    return names


def _topics(role: str, settings: Settings) -> Iterator[Acl]:
    for topic in topics_of(settings):
        operations = _on_topic(role, topic)
        if operations:
            yield Acl("topic", settings.prefix + topic.name, "literal", operations)


def _on_topic(role: str, topic: Topic) -> tuple[str, ...]:
    operations = []
    if role in topic.readers:
        operations.append("Read")
    if role in topic.writers:
        operations.append("Write")
    if operations or role in topic.describers or role == OPERATORS:
        operations.append("Describe")
    if topic.shows_config_to(role) or role == OPERATORS:
        operations.append("DescribeConfigs")
    if role == OPERATORS:
        operations.append("Create")
    return tuple(operations)


def _groups(role: str, prefix: str) -> Iterator[Acl]:
    if role in CONSUMING:
        yield Acl("group", prefix + role, "literal", ("Read", "Describe"))
        # What it reads beside what its group shares out, it reads whole.
        if set(reads(role)) != {GROUPS[role]}:
            yield Acl("group", prefix + SCAN, "literal", ("Describe",))
        return
    if role == CONNECTORS:
        # A connector stands in for `upstream`; doctor looks for its group.
        yield Acl("group", prefix + "upstream", "literal", ("Read", "Describe"))
    if role == OPERATORS:
        for group in GROUPS:
            yield Acl("group", prefix + group, "literal", ("Describe",))
    for group in LOOKING.get(role, ()):
        yield Acl("group", prefix + group, "literal", ("Describe",))
    # Groups of one's own have names that begin with the role's.
    yield Acl("group", prefix + role, "prefixed", ("Read", "Describe"))


def _reply_topic(name: str) -> Acl:
    operations = ("Write", "Describe", "DescribeConfigs")
    if name == ANY or not name.endswith(ANY):
        return Acl("topic", name, "literal", operations)
    return Acl("topic", name.removesuffix(ANY), "prefixed", operations)


def _merged(acls: Iterable[Acl]) -> Iterator[Acl]:
    """One ACL a resource, with the operations of all that name it."""
    operations: dict[tuple[Resource, str, Pattern], dict[str, None]] = {}
    for acl in acls:
        operations.setdefault(acl[:3], {}).update(dict.fromkeys(acl.operations))
    return (Acl(*resource, tuple(found)) for resource, found in operations.items())
