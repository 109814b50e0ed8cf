"""Signed routes: what a forward carries, so that nobody but Refrain tells where a completion belongs.

    signed route    ROUTE.KEY_ID.MAC    the route (`routes`), and its signature for this forward id and prefix

The fold writes routes without a signature, so that it needs no key and a replay gives the same bytes; the shell signs
what it sends to `forwards`, and populate opens what it finds in `completions`. Forward ids can be guessed, since they
are coordinates: a signature cannot, and it holds for one id, so that to know an id is of no use.
"""

from __future__ import annotations

from collections.abc import Sequence

from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.kafka.interface import Outgoing, Producer
from refrain.streams.messaging.own_topics import check_reply_topic
from refrain.streams.messaging.routes import DirectRoute, ShardRoute, decode_route
from refrain.streams.messaging.signing import SigningKeys, key_id_of

FORWARDS = "forwards"
_PURPOSE = b"refrain.route.1"
_FIELD = b'"route":"'
"""How the last field of a forward begins; a route holds no quote, so the last one found is it."""
_END = b'"}'


def unsigned(forward: bytes) -> bytes:
    """A forward as the fold wrote it: without the signature of its route, if it has one."""
    head, field, tail = forward.rpartition(_FIELD)
    route, _, signature = tail.removesuffix(_END).partition(b".")
    if not field or not tail.endswith(_END) or b'"' in signature:
        # A quote ends the signature: what follows it is no part of it, and somebody else put it there.
        return forward
    return b"".join((head, field, route, _END))


class RouteSigner:
    """Signs the routes of forwards and opens those of completions, of the Refrain under one prefix."""

    def __init__(self, keys: SigningKeys, prefix: str, *, accept_unsigned: bool = False) -> None:
        """With `accept_unsigned` a route without a signature is opened too: whoever writes completions may forge it."""
        self.keys = keys
        self._prefix = prefix
        self._prefix_bytes = prefix.encode()
        self._accept_unsigned = accept_unsigned

    def sign(self, route: str, forward_id: str) -> str:
        """The signed route for the forward of this id. The same each time, until the first key is another."""
        return f"{route}.{self.keys.sign(_PURPOSE, *self._parts(route, forward_id))}"

    def sign_forward(self, record: Outgoing) -> Outgoing:
        """The record for `forwards` with its route signed. Raises ValueError for one that does not end with a route."""
        head, field, tail = (record.value or b"").rpartition(_FIELD)
        if not field or not tail.endswith(_END) or record.key is None:
            raise ValueError("a forward has its id as its key and ends with its route")
        route = self.sign(tail.removesuffix(_END).decode("ascii"), record.key.decode())
        return record._replace(value=b"".join((head, field, route.encode("ascii"), _END)))

    def open(self, signed: str, forward_id: str) -> ShardRoute | DirectRoute:
        """Open the route of a completion of this forward id; what is not signed for it is not even parsed.

        Raises Refusal: ROUTE_UNSIGNED, ROUTE_FORGED, NOT_ASKED, or BAD_REPLY_TO for a reply topic of Refrain's own.
        """
        route, _, signature = signed.partition(".")
        if signature:
            self._check(route, forward_id, signature)
        elif not self._accept_unsigned:
            raise Refusal(
                RefusalCode.ROUTE_UNSIGNED,
                "the route has no signature: a connector copies `route` as it is; for forwards of an older version see"
                " routes.unsigned",
            )
        opened = decode_route(route, forward_id)
        if opened.reply is not None:
            check_reply_topic(opened.reply.topic, self._prefix)
        return opened

    def _check(self, route: str, forward_id: str, signature: str) -> None:
        if self.keys.verify(signature, _PURPOSE, *self._parts(route, forward_id)):
            return
        id_ = key_id_of(signature)
        if id_ != "?" and not self.keys.knows(id_):
            raise Refusal(
                RefusalCode.ROUTE_FORGED,
                f"the route is signed with key {id_}, this worker has {', '.join(self.keys.ids)}: give all machines the"
                " same routes.keys; if they have, somebody forges completions",
            )
        raise Refusal(
            RefusalCode.ROUTE_FORGED, "the signature is not of this route and forward: somebody forges completions"
        )

    def _parts(self, route: str, forward_id: str) -> tuple[bytes, bytes, bytes]:
        return self._prefix_bytes, forward_id.encode("utf-8", "replace"), route.encode("utf-8", "replace")


class SigningProducer:
    """A producer that signs the routes of what it sends to `forwards`."""

    def __init__(self, producer: Producer, signer: RouteSigner) -> None:
        self._producer = producer
        self._signer = signer

    def send(self, records: Sequence[Outgoing]) -> None:
        """Send as the producer does, with signed routes."""
        self._producer.send(self._signed(records))

    def send_singly(self, records: Sequence[Outgoing]) -> None:
        """The same, with each record in a batch of its own."""
        self._producer.send_singly(self._signed(records))

    def close(self) -> None:
        """Close the producer."""
        self._producer.close()

    def _signed(self, records: Sequence[Outgoing]) -> list[Outgoing]:
        return [self._signer.sign_forward(r) if r.topic == FORWARDS else r for r in records]
