"""Why govern did not carry out a command: what a dead letter of it says, quarantined ones included. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from refrain.schemas.dead_letters import HEADER_OFFSET, HEADER_REASON, HEADER_TOPIC
from refrain.streams.errors import RefusalCode
from refrain.streams.kafka.interface import Record

CONTROL = "control"
ENDED_IT = "govern ended twice at this command and leaves it out: give it in another way, and report what it was"


def refusal_in(letters: Iterable[Record], offset: int) -> str | None:
    """What govern says of the command at an offset of `control`, None where no letter is about it."""
    for letter in letters:
        about = {name: (value or b"").decode("utf-8", "replace") for name, value in letter.headers}
        if about.get(HEADER_TOPIC) == CONTROL and about.get(HEADER_OFFSET) == str(offset):
            reason = about.get(HEADER_REASON, "no reason is given")
            aside = reason.partition(":")[0] == RefusalCode.QUARANTINED.value
            return f"{ENDED_IT} ({reason})" if aside else f"govern refused it: {reason}"
    return None
