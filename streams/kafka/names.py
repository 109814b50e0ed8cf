"""Names of topics on a cluster: which there can be, and which are Refrain's own or the broker's."""

from __future__ import annotations

import re

from refrain.schemas.topics import BY_NAME

TENANT_TOPICS = "requests."
"""How the names of request topics begin that belong to one tenant."""
BROKERS_OWN = "__"
"""How the names of a broker's own topics begin."""
_LEGAL = re.compile(r"[A-Za-z0-9._-]{1,249}")


def is_legal(name: str) -> bool:
    """Whether a topic can have this name on a cluster."""
    return _LEGAL.fullmatch(name) is not None and name not in (".", "..")


def is_own(name: str, prefix: str) -> bool:
    """Whether the topic of this name on the cluster is Refrain's, under the prefix, or the broker's own."""
    if name.startswith(BROKERS_OWN):
        return True
    ours = name.removeprefix(prefix)
    return name.startswith(prefix) and (ours in BY_NAME or ours.startswith(TENANT_TOPICS))
