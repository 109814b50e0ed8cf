"""Topics and rights of the chart, from the table of topics: `python -m infra.helm.generate` writes them.

Names stand without the prefix, which the chart puts before them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from refrain.ops.topics.acls import ANSWERING, acls_of
from refrain.schemas.topics import GROUPS, ROLES, SHARDED, TOPICS
from refrain.streams.settings import Settings

CHART = Path(__file__).parent / "refrain"
FILES = CHART / "files"


def topics() -> list[dict[str, Any]]:
    """Each topic; `sharded` ones have as many partitions as there are shards."""
    return [
        {
            "name": topic.name,
            "partitions": topic.partitions,
            "sharded": topic.name in SHARDED,
            "config": topic.config(),
        }
        for topic in TOPICS
    ]


def roles() -> dict[str, dict[str, Any]]:
    """Of each role its ACLs, the topic that its group shares out, and whether it writes to reply topics."""
    bare = Settings(prefix="")
    return {
        role: {
            "topic": GROUPS.get(role),
            "answers": role in ANSWERING,
            "acls": [{**acl._asdict(), "operations": list(acl.operations)} for acl in acls_of(role, bare)],
        }
        for role in ROLES
    }


def rendered() -> dict[Path, str]:
    """The text of each file."""
    made = {FILES / "topics.yaml": topics(), FILES / "roles.yaml": roles()}
    head = "# Made by `python -m infra.helm.generate`.\n"
    return {path: head + yaml.safe_dump(data, sort_keys=False) for path, data in made.items()}


if __name__ == "__main__":
    for path, text in rendered().items():
        path.write_text(text, encoding="utf-8")
