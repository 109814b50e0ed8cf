"""The identity of a request: the question, compared by meaning, and the context digest, which must match exactly.

Only the text of the last user message is compared by meaning. The rest of a request's body (in the form of
`chat_form`), its `vary` object and its `sources` form the context digest, over canonical JSON with a typed hole where
the text was; and with them what of the text its vector does not show: the part `beyond` the embedder's window, and what
is `unread` inside it or `hidden` from people.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from refrain.schemas.base import Dependence, Source
from refrain.schemas.policy import CategoryPolicy
from refrain.streams.classify.canonical_json import canonical
from refrain.streams.classify.chat_form import chat_form, tools_form
from refrain.streams.classify.exact_form import exact_form
from refrain.streams.classify.framing import FramedQuestion
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.linear_pattern import LinearPattern, linear_or_none
from refrain.streams.messaging.questions import Question, check_length, question_of

Body = Mapping[str, Any]

NOT_CONTEXT = frozenset({"stream", "stream_options", "store", "service_tier", "cache_control"})
"""Fields of a body that say how an answer is made, sent or kept, and cannot change it. Ids are the policy's to leave
out (`leave_out`)."""
_TOOLS = frozenset({"tools", "functions"})
FIELDS_MAX = 64
"""Parts of the context that get a digest of their own; more share one, so that a record stays small."""
FIELD_NAME_CHARS_MAX = 64
OTHER = "other"
_BODY = "body."
_MESSAGES_HEAD = 16
_MESSAGES_TAIL = 8


class Identity(NamedTuple):
    """The identity of a request: what it is compared by."""

    question: str
    comparable: bool
    context: str
    """32 hex digits over all that must match exactly."""
    fields: dict[str, str]
    """8 hex digits a part of the context, so that a miss can name the parts that differ."""
    text_digest: str
    """32 hex digits over the question's exact form, or over the last message when it is not comparable."""


def identify(
    body: Body,
    vary: Mapping[str, Any],
    sources: Sequence[Source],
    policy: CategoryPolicy,
    *,
    chars_max: int,
    question: Question | None = None,
    framed: FramedQuestion | None = None,
    depends: Dependence | None = None,
    not_context: frozenset[str] = NOT_CONTEXT,
) -> Identity:
    """Identify a request under its category's policy. `question` spares finding it again.

    `framed` is the question's text as the embedder sees it, when that is not the whole. Questions that depend on now
    by `depends` have contexts of their own where the policy treats them apart. `not_context` names the fields
    of a body that cannot change the answer.

    Raises Refusal: BAD_FIELD, EMPTY_QUESTION, QUESTION_TOO_LONG (more than `chars_max` characters), TOO_DEEP.
    """
    asked = question_of(body) if question is None else question
    check_length(asked, chars_max)
    *earlier, last = chat_form(body["messages"])
    parts = dict(_context(body, earlier, vary, sources, policy, not_context))
    if asked.comparable:
        digest = _digest(b"text:" + _utf8(exact_form(asked.text)), 16)
        parts[_message_name(len(earlier))] = _with_hole(last, asked.part)
        parts |= _unseen(framed)
    else:
        digest = _digest(b"message:" + canonical(last), 16)
    if depends is not None and depends.volatile and policy.volatile != "allow":
        # Else one whose wording hides it would get an answer that is kept for a short time, for a long one.
        parts["volatile"] = b""
    return Identity(asked.text, asked.comparable, _digest_of_parts(parts), _field_digests(parts), digest)


def _context(
    body: Body,
    earlier: Sequence[Mapping[str, Any]],
    vary: Mapping[str, Any],
    sources: Sequence[Source],
    policy: CategoryPolicy,
    not_context: frozenset[str],
) -> list[tuple[str, bytes]]:
    named = [
        (_BODY + name, canonical(tools_form(value) if name in _TOOLS else value))
        for name, value in body.items()
        if name != "messages" and name not in not_context and name not in policy.leave_out
    ]
    named += [(_message_name(at), _masked(message, policy.mask)) for at, message in enumerate(earlier)]
    if vary:
        named.append(("vary", canonical(vary)))
    if sources:
        named.append(("sources", canonical(sorted([source.id, source.version] for source in sources))))
    return named


def _unseen(framed: FramedQuestion | None) -> dict[str, bytes]:
    """The parts of the context for what of a question is not in its vector."""
    parts = {}
    if framed is not None and framed.beyond:
        parts["beyond"] = _utf8(framed.beyond)
    if framed is not None and framed.unread:
        parts["unread"] = canonical(framed.unread)
    if framed is not None and framed.hidden:
        parts["hidden"] = canonical(framed.hidden)
    return parts


def _message_name(at: int) -> str:
    return f"messages[{at}]"


def _digest_of_parts(parts: Mapping[str, bytes]) -> str:
    # Lengths before contents: no two different lists of parts give the same bytes.
    pieces: list[bytes] = []
    for name in sorted(parts):
        label, part = _utf8(name), parts[name]
        pieces += (b"%d,%d:" % (len(label), len(part)), label, part)
    return _digest(b"".join(pieces), 16)


def _field_digests(parts: Mapping[str, bytes]) -> dict[str, str]:
    """Digests by part of the context. Where there are too many, the first and the last messages keep their own."""
    names = [name for name in parts if len(name) <= FIELD_NAME_CHARS_MAX]
    if len(names) > FIELDS_MAX:
        messages = [name for name in names if name.startswith("messages[")]
        others = [name for name in names if not name.startswith("messages[")]
        names = others[: FIELDS_MAX - _MESSAGES_HEAD - _MESSAGES_TAIL]
        names += messages[:_MESSAGES_HEAD] + messages[_MESSAGES_HEAD:][-_MESSAGES_TAIL:]
    short = {_field_name(name, parts): _digest(parts[name], 4) for name in names}
    if len(names) < len(parts):
        kept = set(names)
        rest = {name: part for name, part in parts.items() if name not in kept}
        short[OTHER] = _digest_of_parts(rest)[:8]
    return short


def _field_name(name: str, parts: Mapping[str, bytes]) -> str:
    bare = name.removeprefix(_BODY)
    return name if bare in parts or bare == OTHER else bare


def _with_hole(message: Mapping[str, Any], part: int | None) -> bytes:
    # No canonical JSON begins like these, so no message can spell the hole.
    if part is None or isinstance(message["content"], str):
        return b"text:" + canonical({name: value for name, value in message.items() if name != "content"})
    parts = list(message["content"])
    parts[part] = {name: value for name, value in parts[part].items() if name != "text"}
    return b"part%d:" % part + canonical({**message, "content": parts})


def _masked(message: Mapping[str, Any], patterns: tuple[str, ...]) -> bytes:
    """Mask a message: its canonical JSON, with a mark that no text can spell for each match of a pattern."""
    if not patterns:
        return canonical(message)
    content = message.get("content")
    masks = _compiled(patterns)
    if isinstance(content, str):
        pieces = _cut(content, masks)
        return canonical(message) if len(pieces) == 1 else b"masked:" + canonical({**message, "content": pieces})
    if not isinstance(content, list):
        return canonical(message)
    marked: list[Any] = list(content)
    at: list[int] = []
    for number, part in enumerate(content):
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            pieces = _cut(part["text"], masks)
            if len(pieces) > 1:
                at.append(number)
                marked[number] = {**part, "text": pieces}
    return b"masked" + canonical([at, {**message, "content": marked}]) if at else canonical(message)


def _cut(text: str, masks: Sequence[LinearPattern]) -> list[str]:
    pieces = [text]
    for mask in masks:
        pieces = [kept for piece in pieces for kept in _cut_by(piece, mask)]
    return pieces


def _cut_by(text: str, mask: LinearPattern) -> list[str]:
    kept, start = [], 0
    for begin, end in mask.spans(text):
        kept.append(text[start:begin])
        start = end
    return [*kept, text[start:]]


@lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> tuple[LinearPattern, ...]:
    """The masks; one that is not taken hides nothing, so that more questions are told apart."""
    return tuple(mask for mask in map(linear_or_none, patterns) if mask is not None)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Refusal(RefusalCode.BAD_FIELD, "a text holds half of a surrogate pair: send whole characters") from None


def _digest(data: bytes, size: int) -> str:
    return hashlib.blake2b(data, digest_size=size).hexdigest()
