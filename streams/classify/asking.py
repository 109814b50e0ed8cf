"""Asks the shard: the journal record of a question whose category is known."""

from __future__ import annotations

import json

from refrain.schemas.base import Sealed, TextSide
from refrain.schemas.journal import Asked
from refrain.streams.classify.dependence import dependence_of
from refrain.streams.classify.identity import identify
from refrain.streams.classify.origins import Origins
from refrain.streams.classify.pending import PendingRequest
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.messaging.forwards import unstreamed
from refrain.streams.messaging.shards import shard_key
from refrain.streams.vectors import encode

_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Asking:
    """Makes the records by which shards are asked."""

    def __init__(self, origins: Origins, embedder: str, chars_max: int) -> None:
        """`embedder` is the identity of the embedder; a question has `chars_max` characters at most."""
        self._origins = origins
        self._embedder = embedder
        self._chars_max = chars_max

    def record_of(self, item: PendingRequest, side: TextSide | None) -> Outgoing:
        """The record for the shard of a question; `side` is what the trained head of its category has of it.

        Raises Refusal where the question cannot be identified.
        """
        match = item.match
        assert match is not None, "a question is asked once its category is known"
        assert match.terms is not None, "what has no terms bypasses the cache"
        request, policy, vector = item.request, match.terms.policy, item.vector
        text = item.question.text if request.body["messages"][-1].get("role") == "user" else ""
        depends = dependence_of(text, request.body, request.vary, policy.leave_out)
        identity = identify(
            request.body,
            request.vary,
            request.sources,
            policy,
            chars_max=self._chars_max,
            question=item.question,
            framed=item.framed,
            depends=depends,
        )
        apart = policy.scope == "tenant" or (depends.personal and policy.personal != "allow")
        space = request.tenant if apart else "*"
        asked = Asked(
            id=self._origins.id_of(item.record),
            origin=self._origins.origin_of(item.record),
            request_id=request.request_id,
            tenant=request.tenant,
            space=space,
            category=match.category,
            classifier=match.classifier,
            mode=request.cache,
            model=request.body["model"],
            embedder=self._embedder,
            context=identity.context,
            fields=identity.fields,
            text_digest=identity.text_digest,
            vector=None if vector is None else encode(vector),
            question=Sealed(data=identity.question),
            text_side=side,
            body=Sealed(data=_json(unstreamed(request.body))),
            tags=request.tags,
            sources=request.sources,
            deadline_at_ms=request.deadline_at_ms,
            reply=item.reply,
            seen=match.terms.seen,
            depends=depends,
            overload=item.overload,
        )
        key = shard_key(space, match.category, identity.context, policy.slices)
        return Outgoing("journal", key, asked.encode())
