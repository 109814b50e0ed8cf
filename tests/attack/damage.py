"""Attacks that would end a worker by one record: names of headers, sizes, reply topics, routes, and odd texts."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient, NewTopic

from refrain.ops.ask.questions import Defaults, request_of
from refrain.schemas.load import LoadSample
from refrain.schemas.requests import Request
from tests.attack.attack import Attack, Sent
from tests.attack.commands import refrain
from tests.attack.target import Target
from tests.streams.kafka.odd_batches import TAKEN
from tests.streams.kafka.raw_records import GZIP, LZ4, NotTaken, Raw, batch_of

READ = ("requests", "journal", "completions", "forwards", "load", "control", "observations", "doubts")
"""The topics that a group of workers shares."""
EVERY = "8 topics"
WRITERS = "who writes them"
GOLDEN = Path(__file__).parents[1] / "schemas" / "golden"
REPLIES = "attack-reply-"
"""How the reply topics begin, behind the prefix."""
LEGAL_CHARS_MAX = 249
ADMIN_S = 20.0


def everywhere(target: Target, records: Sequence[Raw], codec: int) -> Sent:
    """Write the same records to each topic that is read, a batch each; nothing of them can be taken."""
    sent = Sent(asides=True)
    for record in records:
        # Large ones take a second to build.
        batch = batch_of([record], codec)
        for topic in READ:
            try:
                sent.places += target.write_built(topic, batch, 1)
            except NotTaken as refused:
                # What the broker refuses reaches nobody.
                sent.skipped = f"the broker refuses some ({refused.code})"
    return sent


def names_of_headers(target: Target, size: float) -> Sent:
    """Names of headers that are not UTF-8."""
    names = (b"\xff\xfe", b"\xc3", b"reply-to\xff", b"\xed\xa0\xbd", b"\xf5" * 40)
    return everywhere(target, [Raw(b"k", b"junk", [(name, b"x"), (b"h", None)]) for name in names], GZIP)


def large_records(target: Target, size: float) -> Sent:
    """Records that are small as they are sent, and too large for the topics that they would be kept in."""
    return everywhere(
        target,
        [
            Raw(b"k", b"v", [(b"h", b"x" * 3_000_000)]),
            Raw(b"k", b"v", [(b"", b"")] * 65_000),
            Raw(b"k" * 2_400_000, b"v"),
            Raw(b"k", b'{"a":' * 400_000),
            Raw(b"k", b"[" * 2_000_000),
            Raw(b"k", b'{"v":1,"a":' + b"9" * 2_000_000 + b"}"),
        ],
        GZIP,
    )


def unreadable_batches(target: Target, size: float) -> Sent:
    """Batches that the broker takes and no client can read, each behind a sound one, on every topic that is read.

    A command that reads one of these topics passes over them as the workers do.
    """
    sent, junk = Sent(asides=True), batch_of([Raw(b"k", b"junk")])
    for number, topic in enumerate(READ):
        odd = list(TAKEN.values())
        # Where there is little time each is sent to the topics that most write, and one of them to each of the others.
        for batch in odd if size >= 1 or topic in {"requests", "journal"} else odd[number : number + 1]:
            try:
                sent.places += [*target.write_built(topic, junk, 1), target.write_odd(topic, batch)]
            except NotTaken as refused:
                sent.skipped = f"the broker refuses some ({refused.code})"
    told = refrain(target, "history", "--json")
    if told.returncode != 0:
        sent.problems.append(f"`refrain history` ends with {told.returncode}: {told.stderr.strip()[-200:]}")
    return sent


def nothing(target: Target, size: float) -> Sent:
    """Neither key nor value, many times, and a sample that must not wait behind them."""
    sent = Sent(asides=True)
    sent.places += target.write("load", [Raw(None, None)] * max(20, int(1_000 * size)), LZ4)
    for topic in READ:
        sent.places += target.write(topic, [Raw(None, None), Raw(None, None, [(b"\xc3", None)])], LZ4)
    good = LoadSample(model="none", replica="attack", latency_p95_ms=1, queue_depth=0, at_ms=0)
    target.write("load", [Raw(b"none", good.encode())])
    return sent


def reply_topics(target: Target, size: float) -> Sent:
    """Reply topics that are gone when the answer comes, compacted, too small, or no names at all."""
    begin = f"{target.settings.prefix}{REPLIES}{uuid.uuid4().hex[:6]}"
    gone, compacted, small = f"{begin}-gone", f"{begin}-compacted", f"{begin}-small"
    long = begin + "x" * (LEGAL_CHARS_MAX - len(begin))
    made = {gone: {}, compacted: {"cleanup.policy": "compact"}, small: {"max.message.bytes": "200"}, long: {}}
    _create(target.admin, made)
    names = (*made, "/bad topic!", "x" * 250, "responses ", f"{target.settings.prefix}journal", "")
    values = [_question(f"[simulate:slow] Where is reply {n}?", target.category) for n in range(max(2, int(10 * size)))]
    records = [
        Raw(None, value.encode(), [(header, name.encode()), (b"kafka_replyPartition", partition)])
        for value in values
        for name in names
        for header, partition in ((b"reply-to", b"0"), (b"kafka_replyTopic", b"\x00\x00\x12\x67"))
    ]
    places = target.write(target.settings.classify.topic, records)
    _delete(target.admin, [gone])
    target.eventually(lambda: target.is_read(places))
    _delete(target.admin, [compacted, small, long])
    return Sent(places)


def replies_in_the_journal(target: Target, size: float) -> Sent:
    """Questions in `journal` whose reply names no key, no partition, or no topic."""
    replies: list[dict[str, Any]] = [
        {"topic": "responses", "key": "no base64!"},
        {"topic": "responses", "partition": 4711},
        {"topic": "/bad topic!"},
        {"topic": f"/{target.settings.prefix}policies"},
        {"topic": "/nobody.made.this"},
        {"topic": "responses", "headers": [{"name": "\ud83d", "value": "x"}, {"name": "h", "value": "no base64!"}]},
    ]
    asked = json.loads((GOLDEN / "journal.Asked.v1.json").read_text())
    # Told at once that it is too late, or by the model's answer.
    late = [{"reply": reply, "deadline_at_ms": deadline} for reply in replies for deadline in (1, None)]
    records = []
    for number, changed in enumerate(late * max(1, int(5 * size))):
        origin = asked["origin"] | {"topic_id": f"attack-{uuid.uuid4().hex[:8]}", "offset": number}
        records.append(asked | changed | {"id": f"0-{number}-{uuid.uuid4().hex[:8]}", "origin": origin})
    return Sent(target.write("journal", [Raw(b"k", json.dumps(record).encode()) for record in records]))


def odd_texts(target: Target, size: float) -> Sent:
    """Texts that guards and models read with difficulty, each beside one that is near to it."""
    texts = (
        "Which courses do n't have exams ?", "Which courses don't have exams?", "n't", "do n't n't n't ?", "' ' '",
        "Is 1,,2 more than 1..2?", "Is 1-2-3/4:5 a date?", "\u0661\u0662\u0663 or 123?", "v1.v1.v1",
        "What is \u00bd of \u2154 of \u216b?", "(((((((((((", "not not not not", "?", "\u0130stanbul or istanbul?",
        "\ufb01le or file?", "e\u0301\u0301\u0301 or \u00e9?", "Is it 10^400 or -10^400?",
        "What does `x` or `` ` `` mean?", "\u65e5\u672c or \u65e5\u3000\u672c?", "\U0001f3f3\ufe0f\u200d\U0001f308?",
    )  # fmt: skip
    asked = [f"{text} {end}".strip() for text in texts for end in ("", "please", "?", "now and not then")]
    replies = target.ask([_question(text, target.category) for text in asked * 2])
    unanswered = [reply.failure for reply in replies if reply.response is None]
    return Sent(asked=len(replies), problems=[f"{len(unanswered)} questions were not answered"] if unanswered else [])


def _question(text: str, category: str) -> Request:
    return request_of(text, Defaults("default", category, "odd"))


def _create(admin: AdminClient, topics: dict[str, dict[str, str]]) -> None:
    made = [NewTopic(name, 1, 1, config=config) for name, config in topics.items()]
    for future in admin.create_topics(made, operation_timeout=ADMIN_S).values():
        future.result(ADMIN_S)


def _delete(admin: AdminClient, names: list[str]) -> None:
    for future in admin.delete_topics(names, operation_timeout=ADMIN_S).values():
        future.result(ADMIN_S)


ATTACKS = (
    Attack("names of headers that are no UTF-8", EVERY, WRITERS, names_of_headers),
    Attack("records of 3 MB in batches of 3 kB", EVERY, WRITERS, large_records),
    Attack("batches that no client can read", EVERY, WRITERS, unreadable_batches),
    Attack("records of nothing", EVERY, WRITERS, nothing),
    Attack("reply topics gone, compacted, small, none", "requests", "clients", reply_topics),
    Attack("replies without key, partition or topic", "journal", "classify", replies_in_the_journal),
    Attack("texts that are hard to read", "requests", "clients", odd_texts),
)
