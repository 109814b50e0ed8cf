"""The table of topics as the settings want it. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from refrain.schemas.topics import TOPICS, Topic

if TYPE_CHECKING:
    from refrain.streams.settings import Settings

REQUESTS = "requests"


def topics_of(settings: Settings) -> tuple[Topic, ...]:
    """The topics of the table; the request topics are those that `classify.topics` names, or `classify.topic`."""
    requests = settings.classify.request_topics
    return tuple(
        replace(topic, name=name)
        for topic in TOPICS
        for name in (requests if topic.name == REQUESTS else (topic.name,))
    )
