"""A cluster whose producers are wrapped: to fail, to wait, or to be watched."""

from __future__ import annotations

from collections.abc import Callable

from refrain.streams.kafka.interface import Cluster, Producer, TransactionalProducer
from refrain.streams.kafka.wrapped import WrappedCluster


class WrappedProducers(WrappedCluster):
    """`producer` and `transactional` make of each new producer what its owner gets."""

    def __init__(
        self,
        inner: Cluster,
        *,
        producer: Callable[[Producer], Producer] = lambda inner: inner,
        transactional: Callable[[TransactionalProducer], TransactionalProducer] = lambda inner: inner,
    ) -> None:
        super().__init__(inner)
        self._producer = producer
        self._transactional = transactional

    def producer(self, *, delivery_timeout_ms: int | None = None) -> Producer:
        return self._producer(super().producer(delivery_timeout_ms=delivery_timeout_ms))

    def transactional(self, name: str) -> TransactionalProducer:
        return self._transactional(super().transactional(name))
