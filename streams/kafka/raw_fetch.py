"""Fetches batches of a partition as they lie on the broker, where librdkafka does not tell what it cannot read.

By aiokafka's client, on a thread of its own, with a connection a call: it is made where something is wrong, not for
each record.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from refrain.streams.errors import WrongSetup
from refrain.streams.kafka.bounded_call import bounded
from refrain.streams.kafka.tls import tls_context
from refrain.streams.settings import Settings

FETCH_BYTES = 2_500_000
"""What is fetched at once; a batch that is larger comes whole."""
FETCH_S = 10.0
READ_COMMITTED = 1
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
"""Those for which a name and a password are enough."""

Fetched = tuple[bytes, Sequence[tuple[int, int]]]
"""Batches, and the aborted transactions among them: their producers and first offsets."""
Fetch = Callable[[str, int, int], Fetched]
"""Gives the batches of a topic and partition from an offset on. Raises FetchFailed."""


class FetchFailed(Exception):
    """Nothing was fetched. The text says why."""


def raw_fetch(settings: Settings) -> Fetch:
    """A fetch by the connection of the settings."""

    def fetch(name: str, partition: int, offset: int) -> Fetched:
        found: list[Fetched] = []

        def call() -> None:
            found.append(asyncio.run(_fetched(settings, name, partition, offset)))

        try:
            bounded(call, FETCH_S + 1)
        except WrongSetup as problem:
            raise FetchFailed(str(problem)) from problem
        except Exception as problem:
            # Whatever that client stumbles over, nothing was fetched: who looks goes on without.
            raise FetchFailed(f"{type(problem).__name__}") from problem
        return found[0]

    return fetch


async def _fetched(settings: Settings, name: str, partition: int, offset: int) -> Fetched:
    # Loaded where something is wrong: who never looks, as a client, need not wait for it.
    from aiokafka.client import AIOKafkaClient
    from aiokafka.protocol.fetch import FetchRequest
    from aiokafka.structs import TopicPartition

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    client = AIOKafkaClient(
        bootstrap_servers=[server.strip() for server in settings.kafka.split(",")],
        request_timeout_ms=int(FETCH_S * 1_000),
        **_options({key: value.get_secret_value() for key, value in settings.connection.items()}),
    )
    try:
        async with asyncio.timeout(FETCH_S):
            await client.bootstrap()
            await client.set_topics([name])
            leader = client.cluster.leader_for_partition(TopicPartition(name, partition))
            if leader is None or leader < 0:
                raise TimeoutError
            asked = FetchRequest(0, 1, FETCH_BYTES, READ_COMMITTED, [(name, [(partition, offset, FETCH_BYTES)])])
            answer = await client.send(leader, asked)
    finally:
        await client.close()
    ((_, ((_, error, *_, data),)),) = answer.topics
    if error:
        raise TimeoutError
    aborted = answer.to_object()["topics"][0]["partitions"][0]["aborted_transactions"] or ()
    return data or b"", [(each["producer_id"], each["first_offset"]) for each in aborted]


def _options(given: Mapping[str, str]) -> dict[str, Any]:
    """librdkafka's properties of the connection as aiokafka names them. Raises WrongSetup."""
    protocol = given.get("security.protocol", "plaintext").upper()
    options: dict[str, Any] = {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        options["ssl_context"] = tls_context(given)
    if protocol.startswith("SASL"):
        mechanism = given.get("sasl.mechanisms", given.get("sasl.mechanism", "GSSAPI"))
        if mechanism not in MECHANISMS:
            raise WrongSetup(
                f"connection.sasl.mechanisms is {mechanism!r}: batches are fetched by {', '.join(MECHANISMS)}"
            )
        options["sasl_mechanism"] = mechanism
        options["sasl_plain_username"] = given.get("sasl.username")
        options["sasl_plain_password"] = given.get("sasl.password")
    return options
