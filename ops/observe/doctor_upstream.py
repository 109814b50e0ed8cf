"""The doctor's call of the model: one short question, so that a dead one is known before a user asks.

Only the server of `upstream.base_url` is called: how a connector of one's own reaches its models is not known here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from refrain.ops.observe.findings import Finding
from refrain.ops.observe.model_calls import read_calls
from refrain.ops.terminal import output
from refrain.schemas.forwards import Forward
from refrain.streams import time_of_day
from refrain.streams.errors import RefrainError

if TYPE_CHECKING:
    import httpx

    from refrain.streams.settings import Settings
    from refrain.streams.upstream.model import Answer

CHECK = "upstream"
CALL_S = 4.0
"""How long the answer may take."""
LIST_S = 1.0
"""How long the server may take to name its models, and the cluster to tell which are in use."""
TOKENS = ("max_tokens", "max_completion_tokens")
"""What keeps the answer short; some models take the one, some the other."""
UNKNOWN_MODEL = "default"
"""Asked for where nobody names one."""


def upstream(
    settings: Settings, used: Callable[[], Sequence[str]], transport: httpx.AsyncBaseTransport | None = None
) -> list[Finding]:
    """Does the model answer? `used` names models that clients ask for, the likeliest first. `transport` is for tests.

    Raises WrongSetup for a base URL that is none.
    """
    chosen = settings.upstream
    if chosen.connector == "simulated":
        return [Finding(CHECK, "ok", "the simulated model, which is none: upstream.connector is simulated")]
    if chosen.base_url is None:
        seen = "not called: no upstream.base_url is set here, so a simulated model answers or a connector of your own"
        return [Finding(CHECK, "ok", seen)]
    return asyncio.run(_call(settings, used, transport))


def used_models(settings: Settings) -> list[str]:
    """The models that were called in the last minutes, the busiest first, then those of the policy; none if unknown."""
    from refrain.ops.cluster.connection import reach
    from refrain.streams.kafka.cluster import KafkaCluster
    from refrain.streams.runtime.policy_follower import PolicyWatch

    try:
        reach(settings, LIST_S)
        with KafkaCluster(settings) as cluster:
            calls = read_calls(cluster, time_of_day.now_ms())
            busiest = sorted(calls, key=lambda name: -calls[name].calls)
            found = PolicyWatch(cluster).latest()
    except RefrainError:
        # The checks of the cluster say what is wrong there.
        return []
    return [*busiest, *([] if found is None else found.policy.models)]


async def _call(
    settings: Settings, used: Callable[[], Sequence[str]], transport: httpx.AsyncBaseTransport | None
) -> list[Finding]:
    import httpx

    from refrain.streams.upstream.http_model import HttpModel

    chosen = settings.upstream.model_copy(update={"retries": 0, "timeout_ms": round(CALL_S * 1_000)})
    model = HttpModel(chosen, time_of_day.now_ms, transport=transport)
    try:
        name = await _model_name(settings, await asyncio.to_thread(used), transport)
        started_s = time.perf_counter()
        answer = await _ask(model.answer, name)
        took_ms = (time.perf_counter() - started_s) * 1_000
    finally:
        await model.close()
    url = httpx.URL(chosen.base_url or "")
    where = f"{name} at {url.scheme}://{url.netloc.decode()}{url.path}"
    if answer.problem is not None:
        do = "start the server, or mend upstream.base_url and upstream.api_key"
        return [Finding(CHECK, "fail", f"{where}: {answer.problem.message}", do)]
    if not (answer.body or {}).get("choices"):
        return [Finding(CHECK, "fail", f"{where}: the answer is no chat completion", "is base_url the API's root?")]
    return [Finding(CHECK, "ok", f"{where} answers in {output.span(took_ms)}")]


async def _ask(ask: Any, name: str) -> Answer:
    answer: Answer
    for limit in TOKENS:
        body = {"model": name, "messages": [{"role": "user", "content": "Are you there?"}], limit: 1}
        until_ms = time_of_day.now_ms() + 600_000
        answer = await ask(Forward(forward_id="doctor", model=name, body=body, deadline_at_ms=until_ms, route="doctor"))
        if answer.problem is None or not answer.problem.message.startswith("the server answered 400"):
            break
    return answer


async def _model_name(settings: Settings, used: Sequence[str], transport: httpx.AsyncBaseTransport | None) -> str:
    """The model to call: one in use, else the first that the server names."""
    return used[0] if used else next(iter(await _served(settings, transport)), UNKNOWN_MODEL)


async def _served(settings: Settings, transport: httpx.AsyncBaseTransport | None) -> list[str]:
    """The models that the server names; none where it names none in time."""
    import httpx

    key = settings.upstream.api_key
    headers = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
    url = f"{(settings.upstream.base_url or '').rstrip('/')}/models"
    try:
        async with httpx.AsyncClient(timeout=LIST_S, trust_env=False, transport=transport) as client:
            rows = (await client.get(url, headers=headers)).json()["data"]
            return [str(row["id"]) for row in rows]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
        # Not every server names its models; the call says whether this one answers.
        return []
