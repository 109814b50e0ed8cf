"""What the signs of commits say to the doctor: what was set by hand, and topics that were made anew. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refrain.ops.observe.findings import Finding
from refrain.ops.terminal import output
from refrain.streams.kafka.incarnation import read_sign, safe_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refrain.streams.kafka.incarnation import SetByHand, Sign

CHECK = "positions"
SHARDS = ("lookup", "journal")
"""The group whose commits name the `documents` that has all of a shard, and its topic."""
UPGRADE_MS = 3_600_000
"""Workers of all groups are of a new version within this time."""
LOST = {
    "requests": "what nobody had read is not answered: clients ask again",
    "forwards": "who waited for one of them gets `deadline_exceeded`, or no answer",
    "completions": "who waited for one of them gets `deadline_exceeded`, or no answer",
    "control": "see whether commands are taken: the row `policy`; give again what was not acknowledged",
}
"""By topic, what is lost with it, or what is to be done."""


def position_findings(
    notes: Mapping[tuple[str, str], Mapping[int, str]], journal_id: str, documents_id: str, now_ms: int
) -> list[Finding]:
    """What the commits of all groups say, by group and topic; the ids are those of the topics that are there."""
    found = {each: {partition: read_sign(note)[0] for partition, note in said.items()} for each, said in notes.items()}
    set_by_hand = {each: by_hand for each, signs in found.items() if (by_hand := _by_hand(signs))}
    rows = _documents_anew(notes.get(SHARDS, {}), journal_id, documents_id)
    rows += [row for (group, topic), signs in found.items() for row in _made_anew(group, topic, signs, now_ms)]
    signed = {each: [sign for sign in signs.values() if sign is not None] for each, signs in found.items()}
    began = [each for each, by_hand in set_by_hand.items() if len(by_hand) == len(signed[each])]
    moments = [one.at_ms for each in began for one in set_by_hand[each].values()]
    if len({group for group, _ in began}) > 1 and max(moments) - min(moments) < UPGRADE_MS:
        rows.append(_all_at_once(sorted({group for group, _ in began}), min(moments), now_ms))
        set_by_hand = {each: by_hand for each, by_hand in set_by_hand.items() if each not in began}
    rows += [_set_by_hand(group, topic, by_hand, now_ms) for (group, topic), by_hand in set_by_hand.items()]
    return rows or [Finding(CHECK, "ok", "all were committed by workers, of the topics that are there")]


def _documents_anew(notes: Mapping[int, str], journal_id: str, documents_id: str) -> list[Finding]:
    """Shards of the journal that is there whose state is in another `documents` than the one that is."""
    said = {partition: read_sign(note) for partition, note in notes.items()}
    lost = sorted(
        partition
        for partition, (sign, held) in said.items()
        if (sign is None or safe_id(sign.topic_id) == journal_id) and held not in ("", documents_id)
    )
    if not lost:
        return []
    shards = output.counted(len(lost), "shard")
    seen = f"documents was deleted and made anew, and has not what {shards} kept: {', '.join(map(str, lost))}"
    do = "let running workers write it again; of those that `refrain shards list` has as stopped: what it says there"
    return [Finding(CHECK, "fail", seen, do)]


def _by_hand(signs: Mapping[int, Sign | None]) -> dict[int, SetByHand]:
    return {partition: sign.by_hand for partition, sign in signs.items() if sign is not None and sign.by_hand}


def _made_anew(group: str, topic: str, signs: Mapping[int, Sign | None], now_ms: int) -> list[Finding]:
    """A topic that is another one than its group had read."""
    at_ms = max(
        (sign.anew_ms for sign in signs.values() if sign is not None and sign.anew_ms is not None), default=None
    )
    if at_ms is None:
        return []
    ago = output.span(max(0, now_ms - at_ms))
    seen = f"{topic} was deleted and made anew {ago} ago: what `{group}` had not read of the one before is lost"
    return [Finding(CHECK, "warn", seen, f"{LOST.get(topic, 'nothing waits for it')}; see the handbook")]


def _all_at_once(groups: list[str], at_ms: int, now_ms: int) -> Finding:
    """Groups none of whose positions were signed: an upgrade or a reset of all of them, which look the same."""
    ago = output.span(max(0, now_ms - at_ms))
    seen = (
        f"{ago} ago {', '.join(groups)} went on from positions that an older version had committed, or that somebody"
        " had set, of all at once"
    )
    return Finding(CHECK, "warn", seen, "after an upgrade: nothing; else set them back, see the handbook")


def _set_by_hand(group: str, topic: str, found: Mapping[int, SetByHand], now_ms: int) -> Finding:
    """A group that went on from where somebody told it to: perhaps records were left out."""
    ago = output.span(max(0, now_ms - max(each.at_ms for each in found.values())))
    places = ", ".join(f"{partition} at {each.offset}" for partition, each in sorted(found.items()))
    seen = (
        f"{group} was set by hand, or by an older version, {ago} ago: in {topic} it went on in partition {places};"
        " what that left out is not read"
    )
    return Finding(CHECK, "warn", seen, f"to read it: stop `{group}`, set it back, start it; see the handbook")
