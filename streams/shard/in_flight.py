"""In-flight questions: forwarded to a model and not answered, with the requests coalesced on each."""

from __future__ import annotations

import heapq

from refrain.schemas.documents import Flight, Waiting
from refrain.streams.messaging.ids import waiting_id
from refrain.streams.shard.index.entries import namespace_of_key, text_key
from refrain.streams.shard.index.vector_tables import QueryVector, Table, Tables, query_of

EF = 64
RECORD_BYTES = 500
"""What a record takes beside the texts that clients choose the length of."""


class OpenFlight:
    """Open flight: a forwarded question with its waiting requests, in the order of their arrival."""

    __slots__ = ("flight", "row", "space", "text", "waiting")

    def __init__(self, flight: Flight, row: int) -> None:
        self.flight = flight
        self.row = row
        self.space = namespace_of_key(flight)
        self.text = text_key(flight.space, flight.category, flight.text_digest)
        self.waiting: dict[str, Waiting] = {}
        """By their ids in the column."""


class InFlight:
    """Open flights of a shard, found by id, text and vector; and the timers of the waiting requests."""

    def __init__(self) -> None:
        self._by_id: dict[str, OpenFlight] = {}
        self._by_text: dict[tuple[bytes, bytes], list[OpenFlight]] = {}
        self._rows: dict[int, OpenFlight] = {}
        self._free: list[int] = []
        self._tables: dict[int, Tables] = {}
        self._by_space: dict[bytes, tuple[Tables, Table]] = {}
        self._waiting: dict[str, OpenFlight] = {}
        self._loads: dict[str, list[int]] = {}
        """By tenant: how many requests wait, and what they and its open flights take (bytes)."""
        self.waiting_bytes = 0
        """What the waiting requests and the open flights take."""
        self._timers: list[tuple[int, str, str]] = []

    def __len__(self) -> int:
        return len(self._by_id)

    @property
    def waiting(self) -> int:
        """Number of waiting requests."""
        return len(self._waiting)

    def waiting_of(self, tenant: str) -> tuple[int, int]:
        """Number of the tenant's waiting requests, and what they and its open flights take (bytes)."""
        number, size = self._loads.get(tenant, (0, 0))
        return number, size

    def get(self, forward_id: str) -> OpenFlight | None:
        """The flight of that id."""
        return self._by_id.get(forward_id)

    def categories(self) -> set[str]:
        """Categories of the open flights."""
        return {each.flight.category for each in self._by_id.values()}

    def oldest_offset(self) -> int | None:
        """Journal offset of the oldest open flight; None without any. Flights open in order."""
        first = next(iter(self._by_id.values()), None)
        return None if first is None else first.flight.offset

    def opened_before(self, offset: int) -> list[Flight]:
        """The open flights of questions below that journal offset."""
        return [each.flight for each in self._by_id.values() if each.flight.offset < offset]

    def dimensions(self, space: bytes) -> int | None:
        """Dimensions of the vectors in flight in the namespace, None without any."""
        place = self._by_space.get(space)
        return None if place is None else place[0].dim

    def near(
        self, space: bytes, text: bytes, query: QueryVector | None, threshold: float
    ) -> list[tuple[float, OpenFlight]]:
        """Flights of the same text (similarity 1) or at least as similar as `threshold`, best and oldest first."""
        found = [(1.0, each) for each in self._by_text.get((space, text), ())]
        place = self._by_space.get(space)
        if query is not None and place is not None:
            tables, table = place
            seen = {each.row for _, each in found}
            found += [
                (each.similarity, self._rows[each.row])
                for each in tables.search(table, query, 8, threshold, EF)
                if each.row not in seen and each.similarity >= threshold
            ]
        found.sort(key=lambda pair: (-pair[0], pair[1].flight.offset, pair[1].flight.forward_id))
        return found

    def due(self, time_ms: int, most: int) -> list[tuple[str, str]]:
        """Due timers: (`waiting`, id of a request) or (`flights`, id of a flight). Changes nothing."""
        fired: list[tuple[int, str, str]] = []
        out: list[tuple[str, str]] = []
        while self._timers and len(out) < most and self._timers[0][0] <= time_ms:
            timer = heapq.heappop(self._timers)
            fired.append(timer)
            if self._is_armed(timer):
                out.append(timer[1:])
        for timer in fired:
            if self._is_armed(timer):
                heapq.heappush(self._timers, timer)
        return out

    def next_timer(self) -> int | None:
        """When the next timer is due (ms), None without one."""
        while self._timers and not self._is_armed(self._timers[0]):
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def open(self, flight: Flight) -> None:
        """Open a flight: a question was forwarded."""
        row = self._free.pop() if self._free else len(self._rows)
        open_flight = OpenFlight(flight, row)
        self._load(flight.tenant, 0, size_of_flight(flight))
        self._by_id[flight.forward_id] = open_flight
        self._rows[row] = open_flight
        self._by_text.setdefault((open_flight.space, open_flight.text), []).append(open_flight)
        if flight.vector is not None:
            query = query_of(flight.vector)
            dim = len(query.ints)
            if dim not in self._tables:
                self._tables[dim] = Tables(dim)
            tables, table = self._by_space.setdefault(open_flight.space, (self._tables[dim], Table()))
            tables.add(table, row, query)
        heapq.heappush(self._timers, (flight.expires_at_ms, "flights", flight.forward_id))

    def complete(self, forward_id: str) -> None:
        """Complete a flight; its waiting requests were answered."""
        open_flight = self._by_id.pop(forward_id)
        self._load(open_flight.flight.tenant, 0, -size_of_flight(open_flight.flight))
        for id_, waiting in open_flight.waiting.items():
            del self._waiting[id_]
            self._load(waiting.tenant, -1, -size_of_waiting(waiting))
        same = self._by_text[(open_flight.space, open_flight.text)]
        same.remove(open_flight)
        if not same:
            del self._by_text[(open_flight.space, open_flight.text)]
        if open_flight.flight.vector is not None:
            tables, table = self._by_space[open_flight.space]
            tables.remove(table, open_flight.row)
            if not len(table):
                del self._by_space[open_flight.space]
        del self._rows[open_flight.row]
        self._free.append(open_flight.row)

    def wait(self, waiting: Waiting) -> None:
        """Add a waiting request to a flight."""
        open_flight = self._by_id[waiting.forward_id]
        id_ = waiting_id(waiting.id, again=waiting.again)
        open_flight.waiting[id_] = waiting
        self._waiting[id_] = open_flight
        self._load(waiting.tenant, 1, size_of_waiting(waiting))
        heapq.heappush(self._timers, (waiting.deadline_at_ms, "waiting", id_))

    def leave(self, id_: str) -> None:
        """Remove a waiting request."""
        open_flight = self._waiting.pop(id_, None)
        if open_flight is not None:
            waiting = open_flight.waiting.pop(id_)
            self._load(waiting.tenant, -1, -size_of_waiting(waiting))

    def waits(self, id_: str) -> Waiting | None:
        """The request of that id, if it waits."""
        open_flight = self._waiting.get(id_)
        return None if open_flight is None else open_flight.waiting[id_]

    def _load(self, tenant: str, number: int, size: int) -> None:
        load = self._loads.setdefault(tenant, [0, 0])
        load[0] += number
        load[1] += size
        self.waiting_bytes += size
        if load == [0, 0]:
            del self._loads[tenant]

    def _is_armed(self, timer: tuple[int, str, str]) -> bool:
        _, kind, id_ = timer
        return id_ in (self._waiting if kind == "waiting" else self._by_id)


def size_of_waiting(waiting: Waiting) -> int:
    """What a waiting request takes (bytes), about: what its client chose the length of, and a constant."""
    reply = waiting.reply
    headers = sum(len(header.name) + len(header.value or "") + RECORD_BYTES // 4 for header in reply.headers)
    texts = len(waiting.asked or "") + len(waiting.request_id or "") + len(reply.key or "") + len(waiting.decision)
    return RECORD_BYTES + headers + texts


def size_of_flight(flight: Flight) -> int:
    """What a forwarded question takes (bytes), about."""
    side = 0 if flight.text_side is None else len(flight.text_side.tokens)
    named = sum(map(len, flight.tags)) + sum(len(source.id) + len(source.version) for source in flight.sources)
    return RECORD_BYTES + len(flight.question.data) + len(flight.vector or "") + side + named
