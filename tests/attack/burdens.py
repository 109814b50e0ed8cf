"""Attacks that would take everybody's time or memory: bombs, patterns, long repeats, floods, and endless labels."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import yaml

from refrain.ops.ask.questions import Defaults, request_of
from refrain.schemas.requests import Request
from tests.attack.attack import Attack, Sent
from tests.attack.commands import refrain
from tests.attack.target import Target
from tests.attack.workers import Workers
from tests.streams.kafka.raw_records import GZIP, NotTaken, Raw

BOMB_BYTES = 100_000_000
PATTERN = r"^(\w+\s?)*:$"
"""Of exponential cost where expressions backtrack."""
SERIES_MAX = 2_000
"""Series that one worker may serve more than before, however many names were sent."""
NAMES = ("m", "category-", "tenant-")
"""How the names of models, categories and tenants begin."""
NAMES_MAX = 100
"""Names of one kind that one worker may tell by themselves, however many were sent."""
REPEATED = ("v1.", "1.1.", "a'a", "((", "not ", "1,", "é\u0301", "- ", "A. B. ", "http://a.a/", "`x` ", "do n't ")
QUESTION_CHARS = 90_000


def bombs(target: Target, size: float) -> Sent:
    """Records of many megabytes of JSON in a batch of some kilobytes, three in a row."""
    count = int(BOMB_BYTES * min(1.0, max(size, 0.2)))
    body = b'{"v":1,"body":{"model":"m","messages":[' + b"0," * (count // 2) + b"0]}}"
    sent = Sent(asides=True)
    try:
        for _ in range(3):
            sent.places += target.write_batch(target.settings.classify.topic, [Raw(b"k", body)], GZIP)
    except NotTaken as refused:
        sent.skipped = f"the broker refuses it ({refused.code})"
    return sent


def pattern(target: Target, size: float) -> Sent:
    """A policy's pattern that backtracks without end, and a question that would make it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.yaml"
        policy = yaml.safe_load(refrain(target, "policies", "show", "--yaml").stdout)
        policy.setdefault("rules", []).append({"when": {"pattern": PATTERN}, "category": target.category})
        file.write_text(yaml.safe_dump(policy))
        applied = refrain(target, "policies", "apply", str(file), "--yes", "--who", "attack", "--why", "attack")
    if applied.returncode != 0:
        return Sent(skipped="the policy is refused")
    # Without a category, so that the rules are asked.
    questions = [request_of("abcdefgh " * 8 + f"{n}!", Defaults("default", tenant="odd")) for n in range(5)]
    replies = target.ask(questions)
    unanswered = sum(reply.response is None for reply in replies)
    reverted = refrain(target, "policies", "revert", "--yes", "--who", "attack", "--why", "attack")
    problems = [f"{unanswered} questions were not answered"] if unanswered else []
    if reverted.returncode != 0:
        problems.append("the policy before could not be put in force again")
    return Sent(asked=len(replies), problems=problems)


def repeats(target: Target, size: float) -> Sent:
    """Long questions of one part over and over, two near ones of each so that guards compare them."""
    chars = int(QUESTION_CHARS * max(size, 0.1))
    texts = [(part * chars)[:chars] + end for part in REPEATED for end in ("", " 7")]
    return _asked(target, [request_of(text, Defaults("default", target.category, "odd")) for text in texts])


def flood(target: Target, size: float) -> Sent:
    """One tenant's questions of 90 kB with headers of 30 kB, all waiting for a slow model."""
    count = max(30, int(300 * size))
    records = []
    for number in range(count):
        text = f"[simulate:slow] Flood {number}: " + f"word{number} " * 10_000
        request = request_of(text[:QUESTION_CHARS], Defaults("default", target.category, "flood"))
        records.append(Raw(b"flood", request.encode(), [(b"h", b"x" * 30_000)]))
    return Sent(target.write(target.settings.classify.topic, records))


def labels(target: Target, size: float) -> Sent:
    """As many categories, models and tenants as requests: none may become a series of a metric each."""
    workers = Workers(target.settings.state_dir)
    before = {name: len(text.splitlines()) for name, text in workers.metrics().items()}
    records = []
    for number in range(max(300, int(10_000 * size))):
        request = request_of(f"Is {number} a label?", Defaults(f"m{number}", f"category-{number}", f"tenant-{number}"))
        records.append(Raw(None, request.encode()))
    sent = Sent(target.write(target.settings.classify.topic, records, GZIP))
    target.eventually(lambda: target.is_read(sent.places))
    after = workers.metrics()
    for name, text in after.items():
        more = len(text.splitlines()) - before.get(name, 0)
        if name in before and more > SERIES_MAX:
            sent.problems.append(f"{name} serves {more} more series")
        for kind in NAMES:
            known = len(set(re.findall(f'"{kind}[0-9]+"', text)))
            if known > NAMES_MAX:
                sent.problems.append(f"{name} tells {known} names by themselves, such as {kind}0")
    return sent


def _asked(target: Target, requests: list[Request]) -> Sent:
    replies = target.ask(requests, target.wait_s)
    unanswered = sum(reply.response is None for reply in replies)
    return Sent(asked=len(replies), problems=[f"{unanswered} questions were not answered"] if unanswered else [])


ATTACKS = (
    Attack("bombs of 100 MB", "requests", "clients", bombs),
    Attack("long repeats", "requests", "clients", repeats),
    Attack("a flood of waiting questions", "requests", "clients", flood),
    Attack("a name a request", "requests", "clients", labels),
)
OWNERS = (Attack("a pattern that backtracks", "control, requests", "operators", pattern),)
"""Those that change the policy for a moment."""
