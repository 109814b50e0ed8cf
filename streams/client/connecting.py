"""What both clients are made of: an exchange, made from an address or from settings, or given."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from refrain.streams.client.exchange import Exchange, ReplyPlace
from refrain.streams.client.making import TRACED_AS, cluster_for, settings_for
from refrain.streams.client.reply import Failure, NotAnswered
from refrain.streams.settings import Settings
from refrain.streams.traces.loading import traces_of


class Connecting:
    """A client, connected or not yet."""

    _at_once = False
    """Whether it connects when it is made."""
    _progress = False
    """Whether it hears of requests before their responses."""

    def __init__(
        self,
        kafka: str | Settings = "localhost:9092",
        *,
        prefix: str = "refrain.",
        connection: Mapping[str, str] | None = None,
        reply: ReplyPlace | None = None,
        attempts: int = 3,
        exchange: Exchange | None = None,
    ) -> None:
        """Name the brokers, or all settings; `connection` holds librdkafka's properties (TLS, SASL).

        `reply` is where responses go: without it one partition of `responses`, drawn by lot. `attempts` is how often a
        request is sent that the broker, or a shard, asks to send again. An `exchange` stands in for all but `attempts`.
        """
        self._settings = settings_for(kafka, prefix, connection)
        self._place = reply
        self._attempts = attempts
        self._connected = exchange
        self._traced = ExitStack()
        if self._at_once:
            self._connect()

    def _connect(self) -> None:
        """Connect, unless that is done. Raises WrongSetup for topics that are missing, Unanswered without a broker."""
        if self._connected is not None:
            return
        traces = self._traced.enter_context(traces_of(self._settings, TRACED_AS, is_guest=True))
        try:
            cluster = cluster_for(self._settings)
            self._connected = Exchange(self._settings, cluster, self._place, progress=self._progress, traces=traces)
        except BaseException:
            self._traced.close()
            raise

    def _disconnect(self) -> None:
        """Disconnect; who still waits gets NotAnswered. A second call does nothing."""
        if self._connected is not None:
            self._connected.close()
        self._traced.close()

    @property
    def _exchange(self) -> Exchange:
        if self._connected is None:
            raise NotAnswered(Failure.CLOSED, "the client is not open: `async with`, or `await client.open()`")
        return self._connected
