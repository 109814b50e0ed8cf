"""The table of topics as the settings want it. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from refrain.schemas.topics import TOPICS, Topic

if TYPE_CHECKING:
    from refrain.streams.settings import Settings

REQUESTS = "requests"


def topics_of(settings: Settings) -> tuple[Topic, ...]:
    """The topics of the table; the request topic is the one that `classify.topic` names."""
    named = settings.classify.topic
    return tuple(replace(topic, name=named) if topic.name == REQUESTS else topic for topic in TOPICS)
