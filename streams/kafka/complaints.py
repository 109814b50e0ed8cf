"""Why a client of librdkafka gets no answer: what it tells beside its calls, in words that say what to do.

A call that fails says that the transport failed, whatever the reason: a name that is nobody's, a login that is refused,
a listener that speaks TLS. That is told to `error_cb`, many times over.
"""

from __future__ import annotations

import re

from confluent_kafka import KafkaError

_WHERE = re.compile(r"^(?:\w+://)?\S+?/(?:bootstrap|\d+): ")
_NODE = re.compile(r"^(?:\w+://)?\S+?/\d+: ")
_WHEN = re.compile(r"\s*\(after \d+ms in state [A-Z_]+.*\)$")
_ENCRYPTED = re.compile(r"SSL|certificate|TLS", re.I)
REFUSED = KafkaError._AUTHENTICATION
ENCRYPTION = KafkaError._SSL
_RANK = (KafkaError._TRANSPORT, KafkaError._RESOLVE, ENCRYPTION, REFUSED)
"""Of what is told the last counts, of the kind that says most."""
TEXT_CHARS_MAX = 300
ADVERTISED = (
    "so a broker calls itself (its `advertised.listeners`): make the name known on this machine, or mend it there"
)
HUNG_UP = "what listens there hangs up"
OTHER_LISTENER = (
    "it may want TLS or a login (`security.protocol` and `sasl.*` in the block `connection`), or be no Kafka broker"
)


class Complaints:
    """What a client told: give it as `error_cb`, and let the client poll."""

    def __init__(self) -> None:
        self._last: dict[int, str] = {}
        self._all_down = False

    def __call__(self, error: KafkaError) -> None:
        """Hear one."""
        if error.code() in _RANK:
            self._last[error.code()] = error.str()
        self._all_down |= error.code() == KafkaError._ALL_BROKERS_DOWN

    def forget(self) -> None:
        """Forget what was heard."""
        self._last.clear()
        self._all_down = False

    @property
    def login_refused(self) -> bool:
        """Whether a broker answered, and does not let this user in."""
        return REFUSED in self._last

    def told(self) -> str | None:
        """Why there is no answer and what to do about it; None where the client did not say."""
        code = next((code for code in reversed(_RANK) if code in self._last), None)
        if code is None:
            # Of a listener that hangs up at once it says no more than that all are down.
            return f"{HUNG_UP}: {OTHER_LISTENER}" if self._all_down else None
        text = _WHEN.sub("", _WHERE.sub("", self._last[code]))[:TEXT_CHARS_MAX].rstrip(" :?")
        if code == KafkaError._RESOLVE and _NODE.search(self._last[code]):
            return f"{text}: {ADVERTISED}"
        return f"{text}: {_what_to_do(code, text)}"


def _what_to_do(code: int, text: str) -> str:
    if code == REFUSED:
        return "check `sasl.mechanism`, `sasl.username` and `sasl.password` in the block `connection`"
    if code == KafkaError._RESOLVE:
        return "check the name, or name another broker with REFRAIN_KAFKA=host:port"
    if code == ENCRYPTION or _ENCRYPTED.search(text):
        return "check `security.protocol` and `ssl.*` in the block `connection`"
    if "isconnected" in text:
        return OTHER_LISTENER
    return "start a broker there, or name yours with REFRAIN_KAFKA=host:port"
