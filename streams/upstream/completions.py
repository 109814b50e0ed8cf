"""The topic `completions`, as the connector produces it and reads it back after an assignment."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from refrain.schemas.responses import Problem
from refrain.streams.errors import Refusal
from refrain.streams.kafka.interface import Cluster, Outgoing, Record
from refrain.streams.messaging.dead_letters import reject
from refrain.streams.messaging.decoding import Envelope, envelope_of, is_too_large
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.barrier import passes, unforeseen
from refrain.streams.upstream.call_ids import call_id, is_direct
from refrain.streams.upstream.calls import CallResult
from refrain.streams.upstream.metrics import NAME
from refrain.streams.upstream.model import Answer, completion_of, encode_completion, failed_answer

SOURCE = "forwards"
TARGET = "completions"
READ_BACK_MAX = 1_000
"""Completions of each partition read back at its assignment: what repeats after a crash is younger than these."""
READS_AT_ONCE = 8

logger = logging.getLogger(__name__)


def completed(called: CallResult) -> list[Outgoing]:
    """The completion of a forward; a failed one where the answer is none that can be written."""
    try:
        return [_completed(called)]
    except Exception as error:
        if passes(error):
            raise
        refusal = unforeseen(error)
        logger.warning("the answer to %s cannot be written: %s", called.id, refusal.code.value)
        return [_completed(called._replace(answer=failed_answer(refusal.code, refusal.text)))]


def _completed(called: CallResult) -> Outgoing:
    forward = called.forward
    completion = completion_of(forward.forward_id, forward.route, called.answer, round(called.latency_ms))
    return Outgoing(TARGET, forward.forward_id.encode(), encode_completion(completion))


def reject_forward(record: Record, refusal: Refusal, metrics: Metrics) -> list[Outgoing]:
    """Dead-letter a record that is no forward, with a failed completion when its envelope tells who waits."""
    envelope = None if is_too_large(record) else envelope_of(record.value)
    if envelope is None:
        return [reject(record, refusal, NAME, metrics, with_text=not is_too_large(record))]
    with_text = not is_direct(envelope.route, envelope.forward_id)
    return [reject(record, refusal, NAME, metrics, with_text=with_text), _failed(envelope, refusal)]


def tell_of(record: Record, refusal: Refusal) -> list[Outgoing]:
    """The failed completion of a forward that is set aside, where its envelope can be read."""
    envelope = None if is_too_large(record) else envelope_of(record.value)
    return [] if envelope is None else [_failed(envelope, refusal)]


def _failed(envelope: Envelope, refusal: Refusal) -> Outgoing:
    answer = Answer(problem=Problem(code=refusal.code.value, message=refusal.text))
    completion = completion_of(envelope.forward_id, envelope.route, answer, 0)
    return Outgoing(TARGET, envelope.forward_id.encode(), encode_completion(completion))


def read_completed(cluster: Cluster, partitions: Sequence[int]) -> list[str]:
    """Ids (`call_id`) of what earlier workers completed, of these partitions: a crashed shard repeats forwards.

    A forward and its completion have one key; with different numbers of partitions they lie apart: none is found then.
    """
    ends = cluster.ends(TARGET)
    if len(ends) != cluster.partitions(SOURCE):
        return []

    def read_back(partition: int) -> list[str]:
        first, end = ends[partition]
        scanned = cluster.scan(TARGET, partition, max(first, end - READ_BACK_MAX))
        envelopes = (envelope_of(record.value) for record in scanned if not is_too_large(record))
        return [call_id(each.forward_id, each.route) for each in envelopes if each is not None]

    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        return [id_ for found in pool.map(read_back, partitions) for id_ in found]
