"""Headers of a request that say where its response goes."""

from __future__ import annotations

TOPIC_HEADERS = ("reply-to", "kafka_replyTopic")
"""The first that a request carries counts; of one name the last, as Spring reads them."""
PARTITION_HEADER = "kafka_replyPartition"
